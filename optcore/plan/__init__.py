"""Plans, previews and checks of schedules, computed before a run."""
