"""The memory that a run takes, estimated without torch."""
