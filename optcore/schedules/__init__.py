"""
Schedules: lr, or another hyperparameter, as a function of t, the number of updates applied so far.

In the formulas t = 0 is the first update, T the steps of the whole run and lr the optimizer's (or
the group's) learning rate.
"""
