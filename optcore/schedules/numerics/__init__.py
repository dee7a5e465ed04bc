"""The arithmetic of the curves: the rounding of each framework, and random numbers."""
