"""A law: everything about a group's updates that does not change between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from optcore.optimizers.engine.engines import Carrying, Eager, Engine, Fused
from optcore.optimizers.engine.flat import Flat, Segment, Spans
from optcore.optimizers.engine.per_tensor import Loose
from optcore.optimizers.engine.tensorwise import ByRows, Centralized, ClippedByNorm, Normed, Whole
from optcore.optimizers.engine.transforms import Treatment, treated
from optcore.optimizers.rules.adadelta import ADADELTA
from optcore.optimizers.rules.adafactor import ADAFACTOR
from optcore.optimizers.rules.adagrad import ADAGRAD
from optcore.optimizers.rules.adam import ADAM, ADAM_WEIGHT_DECAY, ADAMW, LAZY_ADAM
from optcore.optimizers.rules.adam_family import ADAMAX, NADAM, RADAM
from optcore.optimizers.rules.averaging import ASGD, SAG
from optcore.optimizers.rules.ftrl import FTRL, PROXIMAL_ADAGRAD, PROXIMAL_SGD
from optcore.optimizers.rules.layerwise import LAMB, LARS
from optcore.optimizers.rules.lion import LION
from optcore.optimizers.rules.muon import MUON
from optcore.optimizers.rules.rmsprop import RMSPROP
from optcore.optimizers.rules.rprop import RPROP
from optcore.optimizers.rules.rule import Flags, Numbers, Rule
from optcore.optimizers.rules.schedule_free import SCHEDULE_FREE_ADAMW
from optcore.optimizers.rules.sgd import MOMENTUM, NESTEROV, SGD
from optcore.spec.optimizers import ClipNorm, ClipValue, Muon, OptimizerSpec, float32

RULES: dict[str, Rule] = {
    "adadelta": ADADELTA,
    "adafactor": ADAFACTOR,
    "adagrad": ADAGRAD,
    "adam": ADAM,
    "adam_weight_decay": ADAM_WEIGHT_DECAY,
    "adamax": ADAMAX,
    "adamw": ADAMW,
    "asgd": ASGD,
    "ftrl": FTRL,
    "lamb": LAMB,
    "lars": LARS,
    "lazy_adam": LAZY_ADAM,
    "lion": LION,
    "momentum": MOMENTUM,
    "muon": MUON,
    "nadam": NADAM,
    "nesterov": NESTEROV,
    "proximal_adagrad": PROXIMAL_ADAGRAD,
    "proximal_sgd": PROXIMAL_SGD,
    "radam": RADAM,
    "rmsprop": RMSPROP,
    "rprop": RPROP,
    "sag": SAG,
    "schedule_free_adamw": SCHEDULE_FREE_ADAMW,
    "sgd": SGD,
}
"""Every rule by the name of its optimizer. (lbfgs is torch's own.)"""

SPARSE_IN_PADDLE = frozenset({"adam", "rmsprop", "lamb"})
"""Rules for which Paddle takes a row-sparse gradient as the dense one it stands for."""


class Store(Protocol):
    """Parameters with their slots and counters: `Flat` or `Loose`."""

    segments: list[Segment]
    t: list[int]

    def slot_views(self, i: int) -> dict[str, Tensor]:
        """Return the slots of parameter *i* by name, shaped as they are kept."""

    def updates(self) -> list[tuple[int, Spans]]:
        """Count an update and return what it is made on."""

    def adopt(self) -> None:
        """Take the parameters back."""

    def release(self) -> None:
        """Let the parameters go."""

    def moved(self) -> bool:
        """Return whether a parameter is elsewhere."""

    def fits(self) -> bool:
        """Return whether the parameters can be taken back."""


@dataclass(frozen=True)
class Law:
    """
    How one group of parameters is updated.

    Attributes:
        kind: the optimizer's name.
        dialect: whose math.
        rule: its math, with what surrounds it.
        flags: the dialect's switches.
        numbers: the group's hyperparameters.
        rounded: those that the rule gets as float32, whatever a group holds.
        constants: further numbers of the rule, that no group holds.
        engine: what computes.
        separately: whether each parameter is updated by itself.
        multi_precision: whether parameters of less than float32 have a float32 copy.
        takes_sparse: whether row-sparse gradients are taken.
        sparse_ahead: how many updates ahead they are counted.
    """

    kind: str
    dialect: str
    rule: Rule
    flags: Flags
    numbers: Numbers
    rounded: frozenset[str]
    constants: Numbers
    engine: Engine
    separately: bool
    multi_precision: bool
    takes_sparse: bool
    sparse_ahead: int

    def rounded_numbers(self, given: Numbers) -> dict[str, float]:
        """Return the rule's numbers for a group that holds *given*."""
        numbers = {name: float(given[name]) for name in self.numbers}
        for name in self.rounded:
            numbers[name] = float32(numbers[name])
        numbers.update(self.constants)
        return numbers

    def store(self, named: Sequence[tuple[str, Tensor]], numbers: Numbers) -> Store:
        """Return a home for parameters of one dtype and device."""
        first_values = self.rule.slots(numbers, self.flags)
        whose = f"{self.kind} in dialect {self.dialect}"
        if self.rule.shapes is not None or self.rule.by_rows:
            return Loose(
                named,
                first_values,
                shapes=self.rule.shapes,
                takes_sparse=self.rule.by_rows,
                whose=whose,
                multi_precision=self.multi_precision,
                sparse_ahead=self.sparse_ahead,
            )
        return Flat(
            named,
            first_values,
            takes_sparse=self.takes_sparse,
            whose=whose,
            carried=list(self.rule.carries(0, numbers, self.flags)) if self.rule.carries else [],
            separately=self.separately,
            multi_precision=self.multi_precision,
            sparse_ahead=self.sparse_ahead,
        )


def law_of(spec: OptimizerSpec, *, single_precision: bool, size: int | None = None) -> Law:
    """
    Return the law that *spec* says; its groups are not looked at.

    Args:
        spec: of one group, complete.
        single_precision: whether the dialect sees float32 tensors.
        size: how many numbers there are to update, if known: small ones are not worth a kernel.
    """
    rule = RULES[spec.kind]
    flags = spec.flags(single_precision=single_precision)
    fused = spec.engine != "eager" and fusible(spec)
    if spec.engine == "auto" and size is not None and size < rule.fused_from:
        fused = False
    if (spec.clip is not None or spec.loss_scale != 1) and not single_precision:
        fused = False  # the kernels take their factor as a float32
    clamped = isinstance(spec.clip, ClipValue)
    decoupled = spec.decoupled_weight_decay
    own = rule.own_decay and spec.own_decay
    treatment = Treatment(
        scaled=spec.loss_scale != 1 or (spec.clip is not None and not clamped),
        clamped=clamped,
        maximize=spec.maximize,
        regularized=not (own or decoupled),
        decoupled=decoupled and not own,
        averaged=spec.average is not None,
        overwrite_every=(spec.average.overwrite_every or 0) if spec.average else 0,
    )
    whole = treated(rule, treatment)
    whole = replace(whole, torch_constants=_torch_constants(spec, rule))
    engine = _engine(rule, whole, flags, fused=fused)
    if spec.grad_centralization:
        rest = treated(rule, replace(treatment, scaled=False, clamped=False))
        engine = Centralized(
            engine,
            _engine(rule, rest, flags, fused=False),
            treatment,
            with_decay=spec.dialect == "mindspore" and treatment.regularized,
        )
    if isinstance(spec.clip, ClipNorm):
        engine = ClippedByNorm(engine, spec.clip.max)
    if rule.carries is not None:
        engine = Carrying(engine, rule.carries, flags)
    by_itself = isinstance(spec.clip, ClipNorm) or spec.grad_centralization
    return Law(
        kind=spec.kind,
        dialect=spec.dialect,
        rule=whole,
        flags=flags,
        numbers=spec.hyperparameters(),
        rounded=spec.rounded(single_precision=single_precision),
        constants=_constants(spec),
        engine=engine,
        separately=by_itself or rule.norms is not None,
        multi_precision=spec.multi_precision,
        takes_sparse=rule.takes_sparse or (spec.paddle and spec.kind in SPARSE_IN_PADDLE),
        sparse_ahead=int(spec.paddle and spec.kind in ("adam", "lazy_adam")),
    )


def fusible(spec: OptimizerSpec) -> bool:
    """Return whether torch's fused kernel computes exactly what *spec* says."""
    regularized = spec.l1 or spec.l2 or not spec.schedules.keys().isdisjoint({"l1", "l2"})
    plain = not (spec.maximize or spec.multi_precision or spec.grad_centralization)
    kernel_decays = spec.kind == "adamw"
    return (
        spec.has_kernel()
        and RULES[spec.kind].fused is not None
        and plain
        and not regularized
        and spec.average is None
        and not isinstance(spec.clip, ClipValue)
        and spec.decoupled_weight_decay == kernel_decays
        and getattr(spec, "update_slots", True)
    )


def _engine(rule: Rule, whole: Rule, flags: Flags, *, fused: bool) -> Engine:
    if fused:
        return Fused(rule, flags)
    build: Callable[[Rule, Flags], Engine] = Eager
    if rule.by_rows:
        build = ByRows
    elif rule.shapes is not None:
        build = Whole
    elif rule.norms is not None:
        build = Normed
    return build(whole, flags)


def _torch_constants(spec: OptimizerSpec, rule: Rule) -> dict[str, Any]:
    constants = {
        **rule.torch_constants,
        "maximize": spec.maximize,
        "decoupled_weight_decay": spec.decoupled_weight_decay,
    }
    if isinstance(spec, Muon):
        constants["adjust_lr_fn"] = None if spec.adjust_lr == "original" else spec.adjust_lr
    return constants


def _constants(spec: OptimizerSpec) -> dict[str, float]:
    constants: dict[str, float] = {}
    if isinstance(spec.clip, ClipValue):
        constants |= {"clip_min": spec.clip.lowest, "clip_max": spec.clip.max}
    if spec.average is not None:
        constants["average_momentum"] = spec.average.momentum
    return constants
