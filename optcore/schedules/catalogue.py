"""All schedules, listed in three unions. A new schedule must be listed only here."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.families.combinators import Chain, Product
from optcore.schedules.families.cosine import Cosine, TwoStepCosine
from optcore.schedules.families.cycle import Cycle
from optcore.schedules.families.cyclic import Cyclic
from optcore.schedules.families.decays import Exponential, InverseTime, NaturalExponential
from optcore.schedules.families.greedy import Greedy
from optcore.schedules.families.inverse_sqrt import InverseSqrt, Noam
from optcore.schedules.families.late_decay import Rex, WarmupStableDecay
from optcore.schedules.families.linear import Linear
from optcore.schedules.families.linear_cosine import LinearCosine, NoisyLinearCosine
from optcore.schedules.families.listed import Multiplicative, Values
from optcore.schedules.families.modifiers import (
    Clamp,
    Modifier,
    PerEpoch,
    Scaled,
    Shift,
)
from optcore.schedules.families.noise import Noise
from optcore.schedules.families.one_cycle import OneCycle
from optcore.schedules.families.per_batch import PerBatch
from optcore.schedules.families.piecewise import Constant, Piecewise
from optcore.schedules.families.plateau import Plateau
from optcore.schedules.families.polynomial import Polynomial
from optcore.schedules.families.restarts import CosineRestarts, CyclicalCosine
from optcore.schedules.families.step import MultiStep, Step
from optcore.schedules.families.tanh import Tanh
from optcore.spec.base import kind_of

# The gallery and the message about an unknown kind list the schedules in this order.
Simple = (
    Constant
    | Piecewise
    | Step
    | MultiStep
    | Multiplicative
    | Values
    | Cosine
    | Linear
    | Polynomial
    | Tanh
    | Rex
    | WarmupStableDecay
    | Exponential
    | NaturalExponential
    | InverseTime
    | Noam
    | InverseSqrt
    | CosineRestarts
    | CyclicalCosine
    | TwoStepCosine
    | LinearCosine
    | NoisyLinearCosine
    | OneCycle
    | Cyclic
)
"""Schedules with a formula of their own."""

Composed = Chain | Cycle | Scaled | Product | Clamp | Noise | PerEpoch | PerBatch | Shift
"""Schedules that contain other schedules."""

Stateful = Plateau | Greedy
"""Schedules in which a metric changes lr; they cannot be part of another schedule."""

Part = Annotated[Simple | Composed, Field(discriminator="kind")]
"""A schedule that may be part of another schedule: any schedule without state."""

AnySchedule = Annotated[Part | Stateful, Field(discriminator="kind")]
"""Any schedule; `kind` selects its class."""


SCHEDULES: dict[str, type[ScheduleSpec]] = {
    kind_of(spec): spec for group in (Simple, Stateful, Composed) for spec in get_args(group)
}
"""Kind -> class of every schedule, in the order of the gallery."""

# Fields of these classes have the type Part, which can be defined only after the classes.
for _spec in (Modifier, *get_args(Composed)):
    _spec.model_rebuild(_types_namespace={"Part": Part})
