"""What a job may name, and schedules seen before they run."""
