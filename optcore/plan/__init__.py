"""What can be computed before a run: its plan, previews of schedules, checks and warnings."""
