"""
Specs of optimizers: the update rule, its dialect and its hyperparameters.

In the formulas p is a parameter, g its gradient, and t the number of the update, from 1; every
operation except a norm or a matrix product is elementwise. If a hyperparameter has a list of
defaults by dialect, only the dialects in the list have this hyperparameter.
"""
