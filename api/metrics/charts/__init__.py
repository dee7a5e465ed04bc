"""Charts: what an eye can see of a series, however long it is."""
