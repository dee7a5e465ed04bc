"""All update rules by the name of their optimizer, except L-BFGS, which torch itself computes."""

from __future__ import annotations

from optcore.optimizers.rules.adabelief import ACPROP, ADABELIEF
from optcore.optimizers.rules.adadelta import ADADELTA
from optcore.optimizers.rules.adafactor import ADAFACTOR
from optcore.optimizers.rules.adagrad import ADAGRAD
from optcore.optimizers.rules.adam import ADAM, ADAM_WEIGHT_DECAY, ADAMW, LAZY_ADAM
from optcore.optimizers.rules.adamax import ADAMAX
from optcore.optimizers.rules.adan import ADAN
from optcore.optimizers.rules.ademamix import ADEMAMIX, SIMPLIFIED_ADEMAMIX
from optcore.optimizers.rules.adopt import ADOPT
from optcore.optimizers.rules.asgd import ASGD
from optcore.optimizers.rules.cocob import COCOB
from optcore.optimizers.rules.fromage import FROMAGE
from optcore.optimizers.rules.ftrl import FTRL, PROXIMAL_ADAGRAD, PROXIMAL_SGD
from optcore.optimizers.rules.lamb import LAMB
from optcore.optimizers.rules.laprop import LAPROP
from optcore.optimizers.rules.lars import LARS
from optcore.optimizers.rules.lion import LION
from optcore.optimizers.rules.madgrad import MADGRAD
from optcore.optimizers.rules.mars import MARS
from optcore.optimizers.rules.muon import MUON
from optcore.optimizers.rules.nadam import NADAM
from optcore.optimizers.rules.novograd import NOVOGRAD
from optcore.optimizers.rules.optimistic import OPTIMISTIC_GRADIENT_DESCENT
from optcore.optimizers.rules.radam import RADAM
from optcore.optimizers.rules.rmsprop import RMSPROP, RMSPROP_TF
from optcore.optimizers.rules.rprop import RPROP
from optcore.optimizers.rules.rule import Rule
from optcore.optimizers.rules.sag import SAG
from optcore.optimizers.rules.schedule_free import SCHEDULE_FREE_ADAMW, SCHEDULE_FREE_SGD
from optcore.optimizers.rules.sgd import MOMENTUM, NESTEROV, SGD
from optcore.optimizers.rules.sign import SIGN_SGD, SIGNUM
from optcore.optimizers.rules.sm3 import SM3
from optcore.optimizers.rules.yogi import YOGI

_ALL = (
    ACPROP,
    ADABELIEF,
    ADADELTA,
    ADAFACTOR,
    ADAGRAD,
    ADAM,
    ADAMAX,
    ADAMW,
    ADAM_WEIGHT_DECAY,
    ADAN,
    ADEMAMIX,
    ADOPT,
    ASGD,
    COCOB,
    FROMAGE,
    FTRL,
    LAMB,
    LAPROP,
    LARS,
    LAZY_ADAM,
    LION,
    MADGRAD,
    MARS,
    MOMENTUM,
    MUON,
    NADAM,
    NESTEROV,
    NOVOGRAD,
    OPTIMISTIC_GRADIENT_DESCENT,
    PROXIMAL_ADAGRAD,
    PROXIMAL_SGD,
    RADAM,
    RMSPROP,
    RMSPROP_TF,
    RPROP,
    SAG,
    SCHEDULE_FREE_ADAMW,
    SCHEDULE_FREE_SGD,
    SGD,
    SIGNUM,
    SIGN_SGD,
    SIMPLIFIED_ADEMAMIX,
    SM3,
    YOGI,
)

RULES: dict[str, Rule] = {rule.kind: rule for rule in _ALL}
"""Name of an optimizer, such as ``adam`` -> its update rule."""
