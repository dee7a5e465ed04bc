"""Tells whether release 0.2.0 would accept a run and compute it in the same way as this release."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.families.late_decay import WarmupStableDecay
from optcore.schedules.families.linear import Linear as LinearSchedule
from optcore.schedules.families.modifiers import PerEpoch
from optcore.schedules.families.one_cycle import OneCycle
from optcore.schedules.families.per_batch import PerBatch
from optcore.schedules.families.piecewise import Constant, Piecewise
from optcore.schedules.families.polynomial import Polynomial
from optcore.schedules.warmup import Warmup
from optcore.spec.base import fields_of, value_of
from optcore.spec.duration import Epochs, RunLength, Share
from optcore.spec.later import LaterSpec
from optcore.spec.layers.activations import LogSoftmax
from optcore.spec.layers.base import IMAGE, MAX_UNITS, VECTOR
from optcore.spec.layers.dense import Linear
from optcore.spec.loss_scale import DynamicLossScale
from optcore.spec.networks.network import Network
from optcore.spec.networks.tree import Node
from optcore.spec.optimizers.base import NEWER, OptimizerSpec
from optcore.spec.optimizers.clip import ClipAdaptive, ClipRms
from optcore.spec.weights import ShadowEma

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec

LATER_DIALECTS = frozenset({"transformers", "optax", "timm", "bitsandbytes"})
"""Dialects that 0.2.0 does not have."""
# These lists never grow: workers of 0.2.0 leave jobs with anything that is not in them.
FORMER_OPTIMIZERS = frozenset(
    (
        *("adadelta", "adafactor", "adagrad", "adam", "adam_weight_decay", "adamax", "adamw"),
        *("asgd", "ftrl", "lamb", "lars", "lazy_adam", "lbfgs", "lion", "momentum", "muon"),
        *("nadam", "nesterov", "proximal_adagrad", "proximal_sgd", "radam", "rmsprop", "rprop"),
        *("sag", "schedule_free_adamw", "sgd"),
    )
)
"""Optimizers that 0.2.0 has."""
FORMER_SCHEDULES = frozenset(
    (
        *("chain", "clamp", "constant", "cosine", "cosine_restarts", "cycle", "cyclic"),
        *("cyclical_cosine", "exponential", "greedy", "inverse_sqrt", "inverse_time", "linear"),
        *("linear_cosine", "multi_step", "multiplicative", "natural_exponential", "noam", "noise"),
        *("noisy_linear_cosine", "one_cycle", "per_epoch", "piecewise", "plateau", "polynomial"),
        *("product", "rex", "scale", "shift", "step", "tanh", "two_step_cosine", "values", "wsd"),
    )
)
"""Schedules that 0.2.0 has."""
FORMER_DATASETS = frozenset({"mnist", "digits"})
"""Datasets that 0.2.0 has."""
FORMER_MODELS = frozenset({"mnist_cnn", "mlp", "sequential"})
"""Models that 0.2.0 has."""
FORMER_LOSSES = frozenset({"cross_entropy", "mse", "l1", "huber", "bce", "nll", "ctc"})
"""Losses that 0.2.0 has."""
FORMER_COLUMNS = frozenset(
    {"grad_norm", "update_ratio", "loss_scale", "examples_per_s", "memory_mb"}
)
"""Columns besides lr and loss that 0.2.0 has."""
LATER_FORMS = frozenset({("muon", "article"), ("adamw", "mindspore"), ("lion", "mindspore")})
"""Other pairs of kind and dialect that 0.2.0 does not have."""
LATER_PRECISIONS = frozenset({"mindspore_o1", "mindspore_o2", "mindspore_o3"})
"""Precisions that 0.2.0 does not have."""
HALVES = frozenset({"bf16_true", "fp16_true"})
"""Precisions of 16-bit parameters."""
FORMER_RISES = frozenset({"linear", "cosine", "exponential", "constant"})
FORMER_FALLS = frozenset({"linear", "cosine", "one_minus_sqrt", "one_minus_square"})
"""Shapes of a warmup, and of the fall of wsd, that 0.2.0 has."""
CARRIED_FROM = {
    "nadam": frozenset({"beta1", "momentum_decay"}),
    "schedule_free_adamw": frozenset({"lr", "r", "weight_lr_power"}),
}
"""Hyperparameters of which 0.2.0 takes the current value as that of all updates so far."""
FORMER_LAYERS = frozenset(
    (
        *("conv2d", "max_pool2d", "linear", "flatten", "relu", "dropout", "batch_norm"),
        "log_softmax",
    )
)
"""Layers that 0.2.0 has; of the fields that are new in them, none may be set."""
FORMER_DEPTH = 200
"""Largest number of layers that 0.2.0 accepts."""
RUNNING_POWERS_OF = {
    **dict.fromkeys(("adam", "adamw", "lazy_adam", "lamb", "radam"), frozenset({"beta1", "beta2"})),
    **{"adamax": frozenset({"beta1"}), "nadam": frozenset({"beta2"})},
}
RUNNING_POWERS_IN = frozenset({"paddle", "paddleocr", "tf1"})
"""Dialects in which 0.2.0 treats the hyperparameters in `RUNNING_POWERS_OF` in the same way."""
CONSTANT = Constant(kind="constant")


def is_former(run: RunSpec) -> bool:
    """
    Return whether 0.2.0 would accept *run* and compute it in the same way as this release.

    The result is false also if one of the two is not certain. Workers of 0.2.0 leave jobs whose
    run has the result false to workers of this release.
    """
    if run.draws or run.packages:  # dropout had other masks
        return False
    if not _is_former_network(run.network):
        return False
    if run.evaluates or not _is_known(run):
        return False
    if run.training.metrics or run.training.loss.weighted or run.training.frozen:
        return False
    # The first step size of rprop is the lr of the first update; in 0.2.0 it is that of the spec.
    if run.optimizer.kind == "rprop" and run.schedule != CONSTANT:
        return False
    scale = run.training.loss_scale
    if isinstance(scale, DynamicLossScale) and scale.start == 1:  # 0.2.0 refuses it
        return False
    precision = run.training.precision
    if precision in LATER_PRECISIONS or _is_left_untrained(run):
        return False
    if precision.endswith("_true") and run.optimizer.kind == "muon":  # rounded elsewhere
        return False
    if any(
        schedule != CONSTANT and name in _of_all_updates(spec)
        for name, schedule, spec in _scheduled(run)
    ):
        return False
    ema = run.training.ema
    if ema is not None and not (isinstance(ema, ShadowEma) and ema.is_former):
        return False
    parts, length = list(_parts(run)), run.length
    if any(map(_has_fraction, parts)):
        return False
    return all(_is_former_itself(part, length) for part, _ in parts)


def _is_known(run: RunSpec) -> bool:
    """Return whether 0.2.0 knows the dataset, the model, the loss and the columns by name."""
    return (
        run.dataset.kind in FORMER_DATASETS
        and run.model.kind in FORMER_MODELS
        and run.training.loss.kind in FORMER_LOSSES
        and FORMER_COLUMNS.issuperset(run.training.columns)
    )


# Networks are shared (`network_of`), and most jobs have one of a few.
@lru_cache(maxsize=64)
def _is_former_network(network: Network) -> bool:
    return len(network.nodes) <= FORMER_DEPTH and all(map(_is_former_layer, network.nodes))


def _is_former_layer(node: Node) -> bool:
    """Return whether 0.2.0 accepts a layer at its place in the network, and computes it equally."""
    layer = node.layer
    if layer.kind not in FORMER_LAYERS or layer.later_fields():
        return False
    if isinstance(layer, Linear) and layer.out_features > MAX_UNITS:
        return False
    if isinstance(layer, LogSoftmax) and node.given.axes != VECTOR:
        return False
    per_axis = any(isinstance(getattr(layer, name), list) for name in fields_of(type(layer)))
    return not per_axis and node.given.axes in (VECTOR, IMAGE)


def may_be_former(run: RunSpec) -> bool:
    """
    Return whether 0.2.0 has accepted *run* or may continue it.

    The results of such a run must be equal bit for bit to those of 0.2.0.
    """
    return run.training.chooses_by_test or is_former(run)


def _scheduled(run: RunSpec) -> Iterator[tuple[str, ScheduleSpec, OptimizerSpec]]:
    """
    Yield (name, schedule, spec) for each hyperparameter that has a schedule.

    `RunSpec.scheduled` is not used, since it would validate each group's spec again.
    """
    yield "lr", run.schedule, run.optimizer
    for group in run.groups():
        if group.schedule is not None:
            yield "lr", group.schedule, group.spec
        for name, schedule in group.spec.schedules.items():
            yield name, schedule, group.spec


def _of_all_updates(spec: OptimizerSpec) -> frozenset[str]:
    """Return the hyperparameters whose values in all earlier updates affect the next update."""
    carried: frozenset[str] = frozenset()
    if spec.kind == "nadam" or spec.dialect != "keras":
        carried = CARRIED_FROM.get(spec.kind, carried)
    if spec.dialect in RUNNING_POWERS_IN:
        carried |= RUNNING_POWERS_OF.get(spec.kind, frozenset())
    return carried


def _is_left_untrained(run: RunSpec) -> bool:
    """Return whether 0.2.0 would leave 16-bit parameters of *run* unchanged on a CPU."""
    of_sgd = run.optimizer.kind in {"sgd", "momentum", "nesterov"}
    return of_sgd and run.training.precision in HALVES and run.optimizer.engine != "eager"


def has_fractions(run: RunSpec) -> bool:
    """Return whether a duration in the schedules of *run* stays a fraction of steps, unrounded."""
    return any(map(_has_fraction, _parts(run)))


def _has_fraction(part: tuple[BaseModel, int]) -> bool:
    """
    Return whether a spec is a duration in epochs that is not a whole number of steps.

    A duration that schedules round to whole steps does not count.

    Args:
        part: the spec, and the number of steps per epoch that applies to it.
    """
    spec, epoch = part
    return isinstance(spec, Epochs) and not spec.is_rounded and spec.epochs * epoch % 1 != 0


def _is_former_itself(part: BaseModel, length: RunLength) -> bool:
    """
    Return whether 0.2.0 would accept *part* and compute it in the same way as this release.

    Specs nested in *part* are not checked, with one exception: if *part* is a schedule,
    `_is_former_inside` must be true of each schedule in *part*.
    """
    kind, dialect = value_of(part, "kind", ""), value_of(part, "dialect", "")
    if dialect in LATER_DIALECTS or (kind, dialect) in LATER_FORMS:
        return False
    return all(is_former_part(part, length) for is_former_part in _checks_of(type(part)))


@cache
def _checks_of(cls: type[BaseModel]) -> tuple[Check, ...]:
    # Once per class: isinstance takes 0.5 us with pydantic's classes.
    return tuple(check for base, check in CHECKS if issubclass(cls, base))


def _optimizer(part: OptimizerSpec, _: RunLength) -> bool:
    newer = any(value_of(part, name, None) for name in NEWER)
    return part.kind in FORMER_OPTIMIZERS and not newer


def _schedule(part: ScheduleSpec, _: RunLength) -> bool:
    return part.kind in FORMER_SCHEDULES and all(map(_is_former_inside, part.parts))


def _warmup(part: Warmup, length: RunLength) -> bool:
    return part.shape in FORMER_RISES and 1 <= length.span(part.length) < length.total_steps


def _one_cycle(part: OneCycle, length: RunLength) -> bool:
    # 0.2.0 refuses a rise of less than a step.
    return 0 < part.pct_start < 1 and part.pct_start * length.span(part.length) > 1


def _piecewise(part: Piecewise, length: RunLength) -> bool:
    # 0.2.0 refuses equal boundaries, and a boundary at step 0.
    steps = [0, *(length.steps(boundary) for boundary in part.boundaries)]
    return all(before < after for before, after in pairwise(steps))


Check = Callable[[Any, RunLength], bool]
CHECKS: tuple[tuple[type[BaseModel], Check], ...] = (
    (Share, lambda _, __: False),
    (ClipRms, lambda _, __: False),
    (ClipAdaptive, lambda _, __: False),
    (LaterSpec, lambda part, _: not part.later_fields()),
    (OptimizerSpec, _optimizer),
    (ScheduleSpec, _schedule),
    (Warmup, _warmup),
    (WarmupStableDecay, lambda part, _: part.shape in FORMER_FALLS),
    (OneCycle, _one_cycle),
    (Polynomial, lambda part, _: not part.cycle or part.dialect != "tf1"),
    # 0.2.0 divides by a start of 0.
    (LinearSchedule, lambda part, _: (part.dialect, part.precision) != ("torch", "float32")),
    (Piecewise, _piecewise),
)
"""Pairs of a class and a check. The check returns whether 0.2.0 would accept a spec of this class
and compute it in the same way as this release."""


def _is_former_inside(inner: ScheduleSpec) -> bool:
    """
    Return whether 0.2.0 would accept *inner*, a schedule inside another schedule.

    0.2.0 refuses a warmup, a one_cycle or a piecewise schedule that is too long for its part of the
    run. The length of that part is not known here, so the result is false for every schedule with a
    warmup, every one_cycle and every piecewise. `_is_former_itself` checks everything else.
    """
    return inner.warmup is None and not isinstance(inner, (OneCycle, Piecewise))


def _parts(run: RunSpec) -> Iterator[tuple[BaseModel, int]]:
    """Yield (spec, steps per epoch) for each spec in the optimizer, its groups and the schedule."""
    # Not `of_group`, which would validate each group's spec again.
    own = [group.spec for group in run.groups() if group.spec is not run.optimizer]
    for part in (run.optimizer, *own, run.schedule):
        yield from _nested(part, run.steps_per_epoch)


def _nested(value: object, epoch: int) -> Iterator[tuple[BaseModel, int]]:
    """Yield (spec, steps per epoch) for *value*, if it is a spec, and for all specs in it."""
    inside: Iterable[object] = ()
    if isinstance(value, dict):
        inside = value.values()
    elif isinstance(value, (list, tuple)):
        inside = value
    elif isinstance(value, BaseModel):
        yield value, epoch
        inside = [getattr(value, name) for name in fields_of(type(value))]
        if isinstance(value, PerEpoch):
            epoch = 1
        elif isinstance(value, PerBatch):
            epoch = value.batches(RunLength(1, epoch))
    for each in inside:
        # Not numbers: a list may have a million of them.
        if each is not None and not isinstance(each, (int, float, str)):
            yield from _nested(each, epoch)
