"""Specs: classes that declare the JSON fields of a run for all of optserve, without torch."""
