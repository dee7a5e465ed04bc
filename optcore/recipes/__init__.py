"""Conversion of other projects' configuration files to the spec of a job, without torch."""
