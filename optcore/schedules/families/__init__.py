"""One file per family of schedules: the specs with their fields, and the curves they describe."""
