"""The evaluations of a job: pages, and series of each metric for charts."""
