"""Charts: series of any length in few enough points to draw."""
