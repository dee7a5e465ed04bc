"""A rule, traced: the program that computes it in place."""
