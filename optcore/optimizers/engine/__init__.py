"""Applies update rules to the parameters of a model, and stores the state of the optimizer."""
