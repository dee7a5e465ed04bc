"""A soak test: kills and stops processes while jobs train, and checks that no result changes."""
