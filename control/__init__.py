"""What decides over time, in rounds that may run in several processes at once."""
