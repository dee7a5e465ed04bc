"""Specs declare the fields of a run in JSON, once for all of optserve. They do not import torch."""
