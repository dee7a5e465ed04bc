"""Groups of parameters: their fields, and the assignment of parameters to groups."""
