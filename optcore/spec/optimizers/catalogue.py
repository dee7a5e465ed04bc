"""The list of all optimizers. Add a new one here, and its update rule in `rules.catalogue`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optcore.spec.base import by_kind
from optcore.spec.optimizers.adagrad import Adagrad
from optcore.spec.optimizers.adam import Adam, AdamW, AdamWeightDecay, LazyAdam
from optcore.spec.optimizers.adam_family import Adamax, NAdam, RAdam
from optcore.spec.optimizers.averaging import Asgd, Sag
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.ftrl import Ftrl, ProximalAdagrad, ProximalSgd
from optcore.spec.optimizers.laprop import LaProp
from optcore.spec.optimizers.layerwise import Lamb, Lars
from optcore.spec.optimizers.lbfgs import Lbfgs
from optcore.spec.optimizers.lion import Lion
from optcore.spec.optimizers.mars import Mars
from optcore.spec.optimizers.matrices import Adafactor, Muon
from optcore.spec.optimizers.rmsprop import Adadelta, RmsProp, RmsPropTf
from optcore.spec.optimizers.rprop import Rprop
from optcore.spec.optimizers.schedule_free import ScheduleFreeAdamW
from optcore.spec.optimizers.sgd import Momentum, Nesterov, Sgd

AnyOptimizer = Annotated[
    Adadelta
    | Adafactor
    | Adagrad
    | Adam
    | AdamWeightDecay
    | Adamax
    | AdamW
    | Asgd
    | Ftrl
    | Lamb
    | LaProp
    | Lars
    | LazyAdam
    | Lbfgs
    | Lion
    | Mars
    | Momentum
    | Muon
    | NAdam
    | Nesterov
    | ProximalAdagrad
    | ProximalSgd
    | RAdam
    | RmsProp
    | RmsPropTf
    | Rprop
    | Sag
    | ScheduleFreeAdamW
    | Sgd,
    Field(discriminator="kind"),
]
"""Any optimizer, selected by `kind`."""

OPTIMIZERS = by_kind(AnyOptimizer, OptimizerSpec)
"""Maps the name of each optimizer to its class."""
