"""Specs of releases up to 0.2.0: their translation, and errors about fields that have moved."""
