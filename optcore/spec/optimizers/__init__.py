"""
Specs of optimizers: the update rule, its dialect and its hyperparameters.

A dialect is a framework (or an article) whose math, defaults and rounding an optimizer follows.

In the formulas, p is a parameter, g is its gradient, and t is the number of the update, counted
from 1. Every operation is elementwise, except means over a tensor, norms and matrix products.

If a hyperparameter has a list of defaults by dialect, only the dialects in the list have this
hyperparameter.
"""
