"""Chooses the update rule and the engine for a parameter group, as its spec says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from optcore.optimizers.engine.engines import Carrying, Eager, Engine, Fused
from optcore.optimizers.engine.normed import Normed
from optcore.optimizers.engine.quantized import Quantized, Storage
from optcore.optimizers.engine.tensorwise import (
    ByRows,
    Centralized,
    ClippedByNorm,
    ClippedByUnit,
    Whole,
)
from optcore.optimizers.engine.transforms.traced import Transforms, with_transforms
from optcore.optimizers.rules.catalogue import RULES
from optcore.optimizers.rules.rule import Flags, Numbers, Rule
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.cautious import is_cautious
from optcore.spec.optimizers.clip import ClipAdaptive, ClipNorm, ClipRms, ClipValue
from optcore.spec.optimizers.rounded import float32
from optcore.spec.optimizers.state_bits import StateBitsSpec
from optcore.spec.weights import KerasEma

OF_ONE_PARAMETER = (ClipNorm, ClipRms, ClipAdaptive)
"""Kinds of clipping whose norms are taken over one parameter, or over parts of a parameter."""


@dataclass(frozen=True)
class GroupUpdate:
    """
    How one parameter group is updated. Nothing here changes from update to update.

    Attributes:
        kind: the name of the optimizer.
        dialect: the name of the framework whose formulas the rule follows.
        rule: the update rule, with the steps around it that the spec asks for, such as the
            clipping of gradients (`Transforms`).
        flags: the boolean arguments of the rule, which follow from the dialect and the spec.
        numbers: the hyperparameters of the group, as the spec has them.
        rounded: the names of the hyperparameters that are rounded to float32 for the rule, even
            if the parameters are float64.
        constants: further numeric arguments of the rule, which no schedule changes: the limits of
            a clip by value, the momentum of an ema.
        engine: the engine that computes the update.
        scaled: whether the engine unscales gradients, that is, divides them by the loss scale.
        separately: whether each parameter is updated by a separate call of the engine.
        elementwise: false if the step depends on norms of the parameter or is masked (cautious).
        multi_precision: whether parameters narrower than float32 have a float32 copy.
        takes_sparse: whether a row-sparse gradient may be made dense. (A rule with `Rule.by_rows`
            takes row-sparse gradients as they are.)
        sparse_ahead: the number added to the count of updates, t, in an update with a row-sparse
            gradient (Paddle's Adam).
        decay_lr: the lr of the spec, if the spec has ``corrected_weight_decay``: each update
            multiplies the weight decay by lr / decay_lr. None if the spec does not have it.
        storage: how dialect bitsandbytes stores the slots; None in other dialects.
    """

    kind: str
    dialect: str
    rule: Rule
    flags: Flags
    numbers: Numbers
    rounded: frozenset[str]
    constants: Numbers
    engine: Engine
    scaled: bool
    separately: bool
    elementwise: bool
    multi_precision: bool
    takes_sparse: bool
    sparse_ahead: int
    decay_lr: float | None = None
    storage: Storage | None = None

    def rounded_numbers(self, group: Numbers) -> dict[str, float]:
        """
        Return the numbers that the rule takes: hyperparameters of *group*, and `constants`.

        *group* is an entry of ``param_groups``. Its hyperparameters named in `rounded` are rounded
        to float32, and a corrected weight decay is multiplied by lr / `decay_lr`.
        """
        # float: a user may put a tensor into a group. Rounded in each update: users and schedules
        # change the hyperparameters in a group.
        numbers = {name: float(group[name]) for name in self.numbers}
        for name in self.rounded:
            numbers[name] = float32(numbers[name])
        if self.decay_lr is not None:
            # The rule or the transform that applies the decay multiplies it by lr.
            numbers["weight_decay"] *= numbers["lr"] / self.decay_lr
        numbers.update(self.constants)
        return numbers


def compile_group(
    spec: OptimizerSpec,
    *,
    single_precision: bool,
    size: int | None = None,
    loss_scale: float = 1.0,
    ema: KerasEma | None = None,
) -> GroupUpdate:
    """
    Return the `GroupUpdate` that *spec* describes.

    Args:
        spec: the complete spec of one parameter group. A list of groups in it is ignored.
        single_precision: whether no parameter is float64, so that kernels compute in float32.
        size: the number of elements to update, if known. For fewer than `Rule.fused_from` elements,
            the setting ``auto`` for the engine does not choose torch's fused kernel.
        loss_scale: the factor that gradients have been multiplied by. If it is 1, the engine may
            leave out the division by it, so that the loss scale cannot be changed later.
        ema: the moving average of the parameters, if one is maintained.
    """
    rule = RULES[spec.kind]
    flags = {**spec.flags(single_precision=single_precision), "cautious": is_cautious(spec)}
    transforms = _transforms(spec, rule, loss_scale, ema)
    # Fused kernels take the factor for gradients as a float32: float64 tensors would lose digits.
    exact = single_precision or (spec.clip is None and loss_scale == 1)
    fused = exact and ema is None and _is_fused(spec, size)
    return GroupUpdate(
        kind=spec.kind,
        dialect=spec.dialect,
        rule=replace(
            with_transforms(rule, transforms),
            torch_constants={
                **rule.torch_constants,
                **rule.torch_entries(flags),
                "maximize": spec.maximize,
                "decoupled_weight_decay": spec.decoupled_weight_decay,
            },
        ),
        flags=flags,
        numbers=spec.hyperparameters(),
        rounded=spec.rounded(single_precision=single_precision),
        constants=_constants(spec, ema),
        engine=_wrapped_engine(spec, rule, transforms, flags, fused=fused),
        scaled=fused or transforms.scaled,
        # Wrappers around an engine take norms and means of rows over one parameter.
        separately=isinstance(spec.clip, OF_ONE_PARAMETER) or spec.grad_centralization,
        elementwise=not _takes_norms(rule, flags),
        multi_precision=spec.multi_precision,
        takes_sparse=rule.takes_sparse or (spec.paddle and rule.takes_sparse_in_paddle),
        sparse_ahead=rule.sparse_ahead_in_paddle if spec.paddle else 0,
        decay_lr=spec.hyperparameters()["lr"] if spec.corrected_weight_decay else None,
        storage=_storage(spec),
    )


def check_loss_scale(updates: Sequence[GroupUpdate], before: float, scale: float) -> None:
    """
    Check that the loss scale can be changed from *before* to *scale*.

    Raises:
        ValueError: the scales differ, and one of *updates* does not unscale gradients.
    """
    if scale != before and not all(update.scaled for update in updates):
        raise ValueError(
            f"loss_scale must stay {before:g} in an optimizer that does not unscale gradients, "
            f"got {scale:g}; make a new optimizer with loss_scale={scale:g}"
        )


def fusible(spec: OptimizerSpec) -> bool:
    """Return whether torch's fused kernel computes exactly what *spec* describes."""
    rule, flags = RULES[spec.kind], spec.flags(single_precision=True)
    # A schedule may later raise l1 or l2 from 0, and then the engine can no longer be changed.
    regularized = spec.l1 or spec.l2 or not spec.schedules.keys().isdisjoint({"l1", "l2"})
    plain = not (
        spec.maximize or spec.multi_precision or spec.grad_centralization or is_cautious(spec)
    )
    return (
        spec.has_kernel()
        and rule.fused is not None
        and plain
        and not regularized
        and not isinstance(spec.clip, ClipValue)
        and spec.decoupled_weight_decay == rule.fused_decays
        and all(flags[name] == value for name, value in rule.fused_flags.items())
    )


def _is_fused(spec: OptimizerSpec, size: int | None) -> bool:
    """Return whether torch's fused kernel is chosen for the update that *spec* describes."""
    if spec.engine == "eager" or not fusible(spec):
        return False
    small = size is not None and size < RULES[spec.kind].fused_from
    return not (spec.engine == "auto" and small)


def _transforms(
    spec: OptimizerSpec, rule: Rule, loss_scale: float, ema: KerasEma | None
) -> Transforms:
    clamped = isinstance(spec.clip, ClipValue)
    decoupled = spec.decoupled_weight_decay
    storage = _storage(spec)
    own = (rule.own_decay and spec.own_decay) or (storage is not None and bool(storage.decays))
    return Transforms(
        # Decided when the optimizer is made. For a dynamic scale, `Run` makes it for a scale above
        # 1, so the programs keep the factor when the scale is 1.
        scaled=loss_scale != 1 or (spec.clip is not None and not clamped),
        clamped=clamped,
        maximize=spec.maximize,
        regularized=not (own or decoupled),
        decoupled=decoupled and not own,
        averaged=ema is not None,
        overwrite_every=(ema.overwrite_every or 0) if ema is not None else 0,
        cautious=is_cautious(spec) and not rule.own_caution,
    )


def _wrapped_engine(
    spec: OptimizerSpec, rule: Rule, transforms: Transforms, flags: Flags, *, fused: bool
) -> Engine:
    """
    Return the engine for *rule*, with its wrappers.

    A wrapper changes gradients or numbers, and then calls the engine that it wraps.
    """
    engine = Fused(rule) if fused else _engine(spec, rule, transforms, flags)
    # A wrapper acts before the engine inside it, so a gradient is clipped, then centralized.
    if spec.grad_centralization:
        # The means are taken of the clipped gradient, so `Centralized` unscales and clips first.
        limited = replace(transforms, scaled=False, clamped=False)
        engine = Centralized(
            engine,
            _engine(spec, rule, limited, flags),
            transforms,
            with_decay=spec.dialect == "mindspore" and transforms.regularized,
        )
    if isinstance(spec.clip, ClipNorm | ClipRms):
        by_size = isinstance(spec.clip, ClipRms)
        engine = ClippedByNorm(engine, spec.clip.max, root_mean_square=by_size)
    if isinstance(spec.clip, ClipAdaptive):
        output_last = spec.dialect == "optax"
        engine = ClippedByUnit(engine, spec.clip.max, spec.clip.eps, output_last=output_last)
    if carried_names(rule, spec.hyperparameters(), flags):
        engine = Carrying(engine, rule, flags)
    return engine


def carried_names(rule: Rule, numbers: Numbers, flags: Flags) -> list[str]:
    """Return the names of the numbers that each update computes for the next."""
    return [] if rule.carries is None else list(rule.carries(0, numbers, flags))


def _storage(spec: OptimizerSpec) -> Storage | None:
    return Storage.of(spec) if isinstance(spec, StateBitsSpec) else None


def _engine(spec: OptimizerSpec, rule: Rule, transforms: Transforms, flags: Flags) -> Engine:
    """Return the engine without wrappers: `Quantized`, `ByRows`, `Whole`, `Normed` or `Eager`."""
    storage = _storage(spec)
    if storage is not None:
        unaveraged = with_transforms(rule, replace(transforms, averaged=False))
        return Quantized(with_transforms(rule, transforms), unaveraged, flags, storage)
    build: Callable[[Rule, Flags], Engine] = Eager
    if rule.by_rows:
        build = ByRows
    elif rule.shapes is not None:
        build = Whole
    elif _takes_norms(rule, flags):
        build = Normed
    return build(with_transforms(rule, transforms), flags)


def _takes_norms(rule: Rule, flags: Flags) -> bool:
    """Return whether the step depends on norms of the parameter or is masked (``cautious``)."""
    return rule.norms is not None or bool(flags["cautious"])


def _constants(spec: OptimizerSpec, ema: KerasEma | None) -> dict[str, float]:
    constants: dict[str, float] = {}
    if isinstance(spec.clip, ClipValue):
        constants |= {"clip_min": spec.clip.lowest, "clip_max": spec.clip.max}
    if ema is not None:
        constants["average_momentum"] = ema.decay
    return constants
