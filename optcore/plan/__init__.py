"""Computes what is known before a run: its plan, previews of schedules, checks and warnings."""
