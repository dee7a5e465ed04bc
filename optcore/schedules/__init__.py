"""
Schedules: lr, or another hyperparameter, as a function of t, the number of updates applied so far.

In the formulas, t = 0 is the first update and T is the number of steps in the whole run. lr is the
learning rate of the optimizer or of the parameter group; for another hyperparameter, lr stands for
the value of that hyperparameter.
"""
