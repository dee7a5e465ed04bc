"""
Optimizers: which update rule, in whose dialect, with which hyperparameters.

In the formulas p is a parameter, g its gradient, t = 1 the first update; every operation is
elementwise unless a norm says otherwise. A default stands for each dialect in which the
hyperparameter exists.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optcore.spec.groups.groups import Group, Match
from optcore.spec.optimizers.adagrad import Adagrad
from optcore.spec.optimizers.adam import Adam, AdamW, AdamWeightDecay, LazyAdam
from optcore.spec.optimizers.adam_family import Adamax, NAdam, RAdam
from optcore.spec.optimizers.averages import Average
from optcore.spec.optimizers.averaging import Asgd, Sag
from optcore.spec.optimizers.base import Engine, OptimizerSpec, float32
from optcore.spec.optimizers.clip import AnyClip, ClipGlobalNorm, ClipNorm, ClipValue
from optcore.spec.optimizers.ftrl import Ftrl, ProximalAdagrad, ProximalSgd
from optcore.spec.optimizers.layerwise import Lamb, Lars
from optcore.spec.optimizers.lbfgs import Lbfgs
from optcore.spec.optimizers.lion import Lion
from optcore.spec.optimizers.matrices import Adafactor, Muon
from optcore.spec.optimizers.rmsprop import Adadelta, RmsProp
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
    | Lars
    | LazyAdam
    | Lbfgs
    | Lion
    | Momentum
    | Muon
    | NAdam
    | Nesterov
    | ProximalAdagrad
    | ProximalSgd
    | RAdam
    | RmsProp
    | Rprop
    | Sag
    | ScheduleFreeAdamW
    | Sgd,
    Field(discriminator="kind"),
]
"""One of the optimizers, told apart by `kind`."""

OPTIMIZERS: dict[str, type[OptimizerSpec]] = {
    "adadelta": Adadelta,
    "adafactor": Adafactor,
    "adagrad": Adagrad,
    "adam": Adam,
    "adam_weight_decay": AdamWeightDecay,
    "adamax": Adamax,
    "adamw": AdamW,
    "asgd": Asgd,
    "ftrl": Ftrl,
    "lamb": Lamb,
    "lars": Lars,
    "lazy_adam": LazyAdam,
    "lbfgs": Lbfgs,
    "lion": Lion,
    "momentum": Momentum,
    "muon": Muon,
    "nadam": NAdam,
    "nesterov": Nesterov,
    "proximal_adagrad": ProximalAdagrad,
    "proximal_sgd": ProximalSgd,
    "radam": RAdam,
    "rmsprop": RmsProp,
    "rprop": Rprop,
    "sag": Sag,
    "schedule_free_adamw": ScheduleFreeAdamW,
    "sgd": Sgd,
}
"""Every optimizer by its name."""

__all__ = [
    "OPTIMIZERS",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamWeightDecay",
    "Adamax",
    "AnyClip",
    "AnyOptimizer",
    "Asgd",
    "Average",
    "ClipGlobalNorm",
    "ClipNorm",
    "ClipValue",
    "Engine",
    "Ftrl",
    "Group",
    "Lamb",
    "Lars",
    "LazyAdam",
    "Lbfgs",
    "Lion",
    "Match",
    "Momentum",
    "Muon",
    "NAdam",
    "Nesterov",
    "OptimizerSpec",
    "ProximalAdagrad",
    "ProximalSgd",
    "RAdam",
    "RmsProp",
    "Rprop",
    "Sag",
    "ScheduleFreeAdamW",
    "Sgd",
    "float32",
]
