"""Every schedule by its name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.families import combinators
from optcore.schedules.families.annealing import (
    Cosine,
    Linear,
    Polynomial,
    Rex,
    Tanh,
    WarmupStableDecay,
)
from optcore.schedules.families.combinators import (
    Chain,
    Clamp,
    Cycle,
    Noise,
    PerEpoch,
    Product,
    Scaled,
    Shift,
)
from optcore.schedules.families.cyclic import (
    CosineRestarts,
    Cyclic,
    CyclicalCosine,
    LinearCosine,
    NoisyLinearCosine,
    OneCycle,
    TwoStepCosine,
)
from optcore.schedules.families.decays import (
    Exponential,
    InverseSqrt,
    InverseTime,
    NaturalExponential,
    Noam,
)
from optcore.schedules.families.piecewise import (
    Constant,
    Multiplicative,
    MultiStep,
    Piecewise,
    Step,
    Values,
)
from optcore.schedules.families.stateful import Greedy, Plateau

Part = Annotated[
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
    | Chain
    | Cycle
    | Scaled
    | Product
    | Clamp
    | Noise
    | PerEpoch
    | Shift,
    Field(discriminator="kind"),
]
"""A schedule that larger ones may be made of: any that keeps no state."""

AnySchedule = Annotated[Part | Plateau | Greedy, Field(discriminator="kind")]
"""One of the schedules, told apart by `kind`."""

SCHEDULES: dict[str, type[ScheduleSpec]] = {
    "constant": Constant,
    "piecewise": Piecewise,
    "step": Step,
    "multi_step": MultiStep,
    "multiplicative": Multiplicative,
    "values": Values,
    "cosine": Cosine,
    "linear": Linear,
    "polynomial": Polynomial,
    "tanh": Tanh,
    "rex": Rex,
    "wsd": WarmupStableDecay,
    "exponential": Exponential,
    "natural_exponential": NaturalExponential,
    "inverse_time": InverseTime,
    "noam": Noam,
    "inverse_sqrt": InverseSqrt,
    "cosine_restarts": CosineRestarts,
    "cyclical_cosine": CyclicalCosine,
    "two_step_cosine": TwoStepCosine,
    "linear_cosine": LinearCosine,
    "noisy_linear_cosine": NoisyLinearCosine,
    "one_cycle": OneCycle,
    "cyclic": Cyclic,
    "plateau": Plateau,
    "greedy": Greedy,
    "chain": Chain,
    "cycle": Cycle,
    "scale": Scaled,
    "product": Product,
    "clamp": Clamp,
    "noise": Noise,
    "per_epoch": PerEpoch,
    "shift": Shift,
}
"""Every schedule by its name, in the order of the gallery."""

for _made_of_others in (
    combinators.Around,
    Chain,
    Cycle,
    Scaled,
    Product,
    Clamp,
    Noise,
    PerEpoch,
    Shift,
):
    _made_of_others.model_rebuild(_types_namespace={**vars(combinators), "Part": Part})
