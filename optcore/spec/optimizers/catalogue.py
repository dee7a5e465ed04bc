"""The list of all optimizers' specs; `optcore.optimizers.rules.catalogue` lists their rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optcore.packages.kinds import by_kind
from optcore.spec.optimizers.adabelief import AcProp, AdaBelief
from optcore.spec.optimizers.adadelta import Adadelta
from optcore.spec.optimizers.adafactor import Adafactor
from optcore.spec.optimizers.adagrad import Adagrad
from optcore.spec.optimizers.adam import Adam, AdamW, AdamWeightDecay, LazyAdam
from optcore.spec.optimizers.adamax import Adamax
from optcore.spec.optimizers.adan import Adan
from optcore.spec.optimizers.ademamix import AdEmaMix, SimplifiedAdEmaMix
from optcore.spec.optimizers.adopt import Adopt
from optcore.spec.optimizers.asgd import Asgd
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.cocob import Cocob
from optcore.spec.optimizers.fromage import Fromage
from optcore.spec.optimizers.ftrl import Ftrl, ProximalAdagrad, ProximalSgd
from optcore.spec.optimizers.lamb import Lamb
from optcore.spec.optimizers.laprop import LaProp
from optcore.spec.optimizers.lars import Lars
from optcore.spec.optimizers.lbfgs import Lbfgs
from optcore.spec.optimizers.lion import Lion
from optcore.spec.optimizers.madgrad import MadGrad
from optcore.spec.optimizers.mars import Mars
from optcore.spec.optimizers.muon import Muon
from optcore.spec.optimizers.nadam import NAdam
from optcore.spec.optimizers.novograd import NovoGrad
from optcore.spec.optimizers.optimistic import OptimisticGradientDescent
from optcore.spec.optimizers.radam import RAdam
from optcore.spec.optimizers.rmsprop import RmsProp, RmsPropTf
from optcore.spec.optimizers.rprop import Rprop
from optcore.spec.optimizers.sag import Sag
from optcore.spec.optimizers.schedule_free import ScheduleFreeAdamW, ScheduleFreeSgd
from optcore.spec.optimizers.sgd import Momentum, Nesterov, Sgd
from optcore.spec.optimizers.sign import SignSgd, Signum
from optcore.spec.optimizers.sm3 import Sm3
from optcore.spec.optimizers.yogi import Yogi

AnyOptimizer = Annotated[
    AcProp
    | AdaBelief
    | Adadelta
    | Adafactor
    | Adagrad
    | Adam
    | AdamWeightDecay
    | Adamax
    | AdamW
    | Adan
    | AdEmaMix
    | Adopt
    | Asgd
    | Cocob
    | Fromage
    | Ftrl
    | Lamb
    | LaProp
    | Lars
    | LazyAdam
    | Lbfgs
    | Lion
    | MadGrad
    | Mars
    | Momentum
    | Muon
    | NAdam
    | Nesterov
    | NovoGrad
    | OptimisticGradientDescent
    | ProximalAdagrad
    | ProximalSgd
    | RAdam
    | RmsProp
    | RmsPropTf
    | Rprop
    | Sag
    | ScheduleFreeAdamW
    | ScheduleFreeSgd
    | Sgd
    | SignSgd
    | Signum
    | SimplifiedAdEmaMix
    | Sm3
    | Yogi,
    Field(discriminator="kind"),
]
"""Any optimizer, selected by `kind`."""

OPTIMIZERS = by_kind(AnyOptimizer, OptimizerSpec)
"""Maps the name of each optimizer to its class."""
