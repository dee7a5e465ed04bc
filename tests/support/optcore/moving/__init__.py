"""Moves every field of a spec, and looks whether anything that the spec is for changes."""
