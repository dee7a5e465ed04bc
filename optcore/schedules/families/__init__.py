"""One file per family of schedules: the fields of its specs, and the curves that they describe."""
