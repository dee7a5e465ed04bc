"""Charts: series of any length, reduced to few enough points to draw."""
