"""
Learning-rate schedules: lr as a function of t, the number of updates applied so far.

In the formulas t = 0 is the first update, T the steps of the whole run and lr the optimizer's
(or the group's) learning rate. `optcore.schedules` computes them.
"""

from optcore.spec.schedules.base import (
    Misfit,
    Rate,
    ScheduleDialect,
    ScheduleSpec,
    counted,
    in_words,
)
from optcore.spec.schedules.catalogue import SCHEDULES, AnySchedule, Part
from optcore.spec.schedules.falls import Cosine, Fall, Linear
from optcore.spec.schedules.stairs import Constant, Piecewise, Step
from optcore.spec.schedules.warmup import After, Warmup

__all__ = [
    "SCHEDULES",
    "After",
    "AnySchedule",
    "Constant",
    "Cosine",
    "Fall",
    "Linear",
    "Misfit",
    "Part",
    "Piecewise",
    "Rate",
    "ScheduleDialect",
    "ScheduleSpec",
    "Step",
    "Warmup",
    "counted",
    "in_words",
]
