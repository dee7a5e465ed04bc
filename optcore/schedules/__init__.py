"""Schedules as functions: t, the number of updates applied so far, to lr. Never imports torch."""
