"""Specs of releases up to 0.2.0: read, kept the same in JSON, and told apart from later ones."""
