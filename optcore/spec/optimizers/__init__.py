"""
Optimizers: which update rule, in whose dialect, with which hyperparameters.

In the formulas p is a parameter, g its gradient, t = 1 the first update; every operation is
elementwise unless a norm says otherwise. A default stands for each dialect in which the
hyperparameter exists.
"""
