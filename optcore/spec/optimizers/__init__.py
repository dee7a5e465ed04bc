"""
Specs of optimizers: the update rule, its dialect and its hyperparameters.

In the formulas p is a parameter, g its gradient, and t the number of the update, from 1; every
operation except a norm or a matrix product is elementwise. Where the defaults of a hyperparameter
are listed by dialect, it exists only in the listed dialects.
"""
