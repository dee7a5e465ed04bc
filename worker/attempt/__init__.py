"""One attempt at a job: restores its run, trains it, saves it, and ends or releases the job."""
