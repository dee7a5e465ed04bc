"""The datasets that are built in: where their files come from, and how they are read."""
