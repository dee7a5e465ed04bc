"""
Warnings about fields of optimizer and training that have no effect because of other fields.

Such fields are not refused, since release 0.2.0 and the frameworks accept them. Fields of schedules
are not checked here: each schedule warns about its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from optcore.schedules.families.piecewise import Constant
from optcore.spec.datasets.objectives import ObjectiveSpec
from optcore.spec.duration import counted
from optcore.spec.layers.convolution import Convolution
from optcore.spec.layers.normalization import BatchNorm
from optcore.spec.layers.pooling import AvgPool1d, AvgPool2d
from optcore.spec.layers.recurrent import Gru, Lstm
from optcore.spec.layers.sizes import each
from optcore.spec.optimizers.adabelief import AdaBelief
from optcore.spec.optimizers.adafactor import Adafactor
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.cautious import is_cautious
from optcore.spec.optimizers.clip import ClipValue
from optcore.spec.optimizers.lamb import Lamb
from optcore.spec.optimizers.lars import Lars
from optcore.spec.optimizers.muon import Muon
from optcore.spec.optimizers.rprop import Rprop
from optcore.spec.optimizers.schedule_free import ScheduleFreeAdamW, ScheduleFreeSgd
from optcore.spec.optimizers.sign import SignSgd
from optcore.spec.run import RunSpec
from optcore.spec.tasks.losses import ClassLoss
from optcore.spec.weights import Beside, ShadowEma, Swa

Unused = Iterator[tuple[str, str]]
"""Names of fields, each with the reason for which the field changes nothing."""

OF_THE_DECAY = (
    "decoupled_weight_decay",
    "corrected_weight_decay",
    "no_weight_decay_name",
    "one_dim_param_no_weight_decay",
    "proximal",
)
"""Fields that say how and where weights decay."""
CONSTANT = Constant(kind="constant")


def unused_fields(run: RunSpec) -> Iterator[str]:
    """Yield a warning for each field of the optimizer, groups and training without effect."""
    base = run.optimizer
    specs = [group.spec for group in run.groups() if type(group.spec) is type(base)]
    for name, reason in unused_in(base):
        # A field counts if a group makes it count, such as a group that has a weight decay.
        if departs(base, name) and all(name in dict(unused_in(spec)) for spec in specs):
            yield f"optimizer.{name}: is not used, since {reason}"
    for name, reason in _unused_in_run(run):
        if departs(base, name):
            yield f"optimizer.{name}: is not used, since {reason}"
    for path, reason in unused_in_groups(base):
        yield f"optimizer.{path}: is not used, since {reason}"
    yield from _unused_in_layers(run)
    training = run.training
    if (
        not run.evaluates
        and training.evaluate_every is not None
        and "evaluate_every" in training.model_fields_set
    ):
        yield (
            "training.evaluate_every: is not used, since there are no validation examples; hold "
            "out a part of the training examples with dataset.validation, such as 0.1"
        )
    if isinstance(run.dataset, ObjectiveSpec) and not (run.dataset.shuffle or run.dataset.noise):
        yield "dataset.shuffle: is not used, since noise is 0"
    yield from _unused_in_evaluation(run)
    if training.shadow_ema is not None:
        for text in _unused_in_average(training.shadow_ema, run):
            yield f"training.ema.{text}"


def _unused_in_evaluation(run: RunSpec) -> Iterator[str]:
    dataset, training, loss = run.dataset, run.training, run.training.loss
    if dataset.validation is not None and dataset.own_validation_examples:
        yield (
            f"dataset.validation: the {dataset.own_validation_examples} validation examples of "
            f"{dataset.kind} are not used, since training examples are held out"
        )
    if training.keep_best is not None and training.evaluate_every is None:
        yield (
            "training.keep_best: the best state is the last, since evaluate_every is null and the "
            "validation examples are evaluated once"
        )
    index = loss.ignore_index if isinstance(loss, ClassLoss) else None
    if index is not None and not 0 <= index < dataset.target.size:
        yield (
            f"training.loss.ignore_index: no target of {dataset.kind} is {index}; they are from 0 "
            f"to {dataset.target.size - 1}"
        )


def unused_in_groups(spec: OptimizerSpec) -> Unused:
    """Yield (path, reason) for each field without effect in a group of *spec*."""
    for i, group in enumerate(spec.groups):
        if group.preset != "layer_decay" and group.factor != group.default_of("factor"):
            yield f"groups[{i}].factor", "preset is not layer_decay"
        own = spec.of_group(i, group)
        for name, reason in unused_in(own):
            if name in group.overrides and getattr(own, name) != getattr(spec, name):
                yield f"groups[{i}].{name}", reason


def departs(spec: OptimizerSpec, name: str) -> bool:
    """Return whether the value of the field *name* of *spec* differs from the default."""
    return bool(getattr(spec, name, None) != spec.default_of(name))


def unused_in(spec: OptimizerSpec) -> Unused:
    """Yield (name, reason) for each field of *spec* that would have no effect in any run."""
    known = type(spec).model_fields
    if spec.order_params is not None:
        yield "order_params", "results do not depend on the order of parameters"
    if not spec.weight_decay and "weight_decay" not in spec.schedules:
        yield from ((name, "weight_decay is 0") for name in OF_THE_DECAY if name in known)
        yield from _unused_without_decay(spec)
    if spec.engine == "fused":
        yield from (("engine", f"torch's fused kernel has no {what}") for what in _unfusible(spec))
    yield from _own(spec)


def _own(spec: OptimizerSpec) -> Unused:
    match spec:
        case Adafactor(dialect="keras"):
            yield "relative_step", "Keras has the argument and does not read it"
        case Adafactor(dialect="mindspore" | "transformers", relative_step=True):
            yield "lr", "relative_step is true"
        case AdaBelief(dialect="timm", rectify=False):
            yield "degenerated_to_sgd", "rectify is false"
        case Muon():
            yield from _unused_in_muon(spec)
        case ScheduleFreeAdamW() | ScheduleFreeSgd():
            if spec.dialect == "article" and not spec.warmup_steps:
                yield "weight_lr_power", "warmup_steps is 0"
        case Lars(adapt=False):
            yield from ((name, "adapt is false") for name in ("lars_coeff", "eps"))
        case Rprop() | SignSgd() if spec.clip is not None and _keeps_signs(spec):
            yield "clip", f"{spec.kind} uses nothing of a gradient but its signs"


def _unused_in_muon(spec: Muon) -> Unused:
    if spec.adjust_lr != "match_rms_adamw":
        yield "rms_rate", f"adjust_lr is {spec.adjust_lr}, not match_rms_adamw"
    if spec.dialect != "timm":
        return
    if spec.ns_schedule != "constant":
        reason = f"ns_schedule is {spec.ns_schedule}, not constant"
        yield from ((name, reason) for name in ("ns_a", "ns_b", "ns_c"))
    if spec.conv_mode != "batched":
        yield "normalize_spatial", f"conv_mode is {spec.conv_mode}, not batched"


def _unused_without_decay(spec: OptimizerSpec) -> Unused:
    """Yield the fields of LARS and LAMB that have no effect, since weight_decay is 0."""
    match spec:
        case Lars(dialect="paddle") | Lars(dialect="timm", always_adapt=False):
            names = ["lars_coeff", "eps", "trust_clip"]
        case Lamb(dialect="timm", always_adapt=False):
            names = ["trust_clip"]
        case _:
            return
    yield from ((name, "a step is scaled only where weight_decay is not 0") for name in names)


def _keeps_signs(spec: OptimizerSpec) -> bool:
    """
    Return whether the clip never changes the sign of a coordinate.

    Regularizers are added after the clip. A clip that makes the gradient smaller than the added
    term can change the sign of their sum.
    """
    added = ("l1", "l2", *(() if spec.decoupled_weight_decay else ("weight_decay",)))
    if any(getattr(spec, name) or name in spec.schedules for name in added):
        return False
    return not isinstance(spec.clip, ClipValue) or spec.clip.lowest < 0 < spec.clip.max


def _unfusible(spec: OptimizerSpec) -> Iterator[str]:
    """
    Yield the features of *spec* that torch's fused kernels lack.

    With any of these features, the engine ``fused`` computes the update without these kernels.
    """
    for name in ("maximize", "multi_precision", "grad_centralization", "nesterov"):
        if getattr(spec, name, False):
            yield name
    if is_cautious(spec):
        yield "cautious"
    if not getattr(spec, "update_slots", True):
        yield "update_slots of false"
    yield from (name for name in ("l1", "l2") if getattr(spec, name) or name in spec.schedules)
    if isinstance(spec.clip, ClipValue):
        yield "clip by value"
    if spec.decoupled_weight_decay != spec.FUSED_DECAY:
        yield "decoupled_weight_decay" if spec.decoupled_weight_decay else "coupled weight decay"


def _unused_in_run(run: RunSpec) -> Unused:
    """Yield (name, reason) for each optimizer field that has no effect in this *run*."""
    optimizer, training = run.optimizer, run.training
    if not training.precision.endswith("_true"):
        yield "multi_precision", f"no parameter has 16 bits in precision {training.precision}"
    moves = [run.schedule, *(group.schedule for group in run.groups() if group.schedule)]
    scales = {group.lr_scale for group in run.groups()}
    # A warmup or another factor makes a constant unequal to this one.
    if scales == {1.0} and all(schedule == CONSTANT for schedule in moves):
        yield "corrected_weight_decay", "lr does not change"
    if optimizer.engine != "fused":
        return
    if training.keras_ema is not None:
        yield "engine", "torch's fused kernel has no ema of kind keras"
    if training.precision == "fp64" and (optimizer.clip is not None or run.loss_scale is not None):
        yield "engine", "torch's fused kernel takes the factor for gradients in float32"


def _unused_in_average(average: Beside, run: RunSpec) -> Iterator[str]:
    """Yield the text ``field: reason`` for each field of *average* without effect in *run*."""
    length, begun = run.length, average.begun(run.length)
    updates, copies = (
        average.updates_in(t, length) for t in (run.total_steps, min(begun, run.total_steps))
    )
    if not updates:
        yield f"every: the average is never updated in {counted(run.total_steps, 'step')}"
    elif updates == copies:
        yield f"begin: the average is not updated after {counted(begun, 'step')}, it copies weights"
    elif average.begin != average.default_of("begin") and not copies and not _rises(average):
        yield f"begin: is not used, since there is no update of the average in {begun} steps"
    elif isinstance(average, Swa) and updates == copies + 1:
        yield "begin: the average is updated once after it, so it is no mean"
    if average.every_from == "epoch" and length.steps(average.every) == 1:
        yield "every_from: is not used, since every is 1"
    if average.statistics != "average" and not _has_statistics(run):
        yield "statistics: is not used, since the network has no batch_norm"


def _rises(average: Beside) -> bool:
    """Return whether the decay of *average* is computed from the updates since *begin*."""
    return isinstance(average, ShadowEma) and average.power is not None


def _has_statistics(run: RunSpec) -> bool:
    return any(isinstance(node.layer, BatchNorm) for node in run.network.leaves)


def _unused_in_layers(run: RunSpec) -> Iterator[str]:
    for node in run.network.leaves:
        layer = node.layer
        if isinstance(layer, (Lstm, Gru)) and layer.dropout and not layer.draws:
            yield (
                f"layer {node.path}: dropout is not used, since it is between layers, and "
                "num_layers is 1"
            )
        if isinstance(layer, Convolution):
            name = "padding_mode"
        elif isinstance(layer, (AvgPool1d, AvgPool2d)):
            name = "count_include_pad"
        else:
            continue
        if getattr(layer, name) != layer.default_of(name) and not any(each(layer.padding, 1)):
            yield f"layer {node.path}: {name} is not used, since padding is 0"
