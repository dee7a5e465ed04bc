"""Specs: the fields of a run in JSON, declared once for all of optserve; without torch."""
