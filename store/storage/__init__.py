"""The storage: the files of all jobs, below a root folder that API and workers share."""
