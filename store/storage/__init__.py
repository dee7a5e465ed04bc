"""The storage: files of jobs below one root that API and workers share."""
