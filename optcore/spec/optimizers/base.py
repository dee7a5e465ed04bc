"""What all optimizers share: dialect, regularizers, clipping, groups, precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from ctypes import c_float
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Gt, Lt
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from optcore.schedules.catalogue import AnySchedule
from optcore.spec.base import Dialect, Spec, dialects_of, per_dialect
from optcore.spec.errors import reject, short_repr
from optcore.spec.former_places import (
    FormerPlace,
    average_is_of_the_training,
    loss_scale_is_of_the_training,
    reject_schedule_of_lr,
)
from optcore.spec.groups.groups import Group, Name
from optcore.spec.limits import (
    MAX_GROUPS,
    MAX_MOVED,
    MAX_ORDERED,
    at_most,
)
from optcore.spec.optimizers.clip import AnyClip
from optcore.spec.optimizers.scheduled import take_schedules

Engine = Literal["auto", "eager", "fused"]

PADDLE: frozenset[Dialect] = frozenset({"paddle", "paddleocr"})
"""Dialects with Paddle's math: PaddleOCR uses its optimizers, with other defaults."""


def float32(number: float) -> float:
    """Return *number* rounded to float32; infinite if it is too large for it."""
    # Each number is rounded whenever a spec is parsed, in the dialects that round: ctypes takes a
    # tenth of the time of numpy, which also warns where the result is to be infinite.
    return c_float(number).value


class OptimizerSpec(Spec):
    """What all optimizers share."""

    kind: str
    """Which optimizer."""

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch",)
    """Dialects that have the optimizer; the first is its default."""
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset()
    """Dialects in which one of torch's fused kernels computes exactly this rule."""
    FLOAT32_IN: ClassVar[Mapping[Dialect, frozenset[str]]] = {}
    """Hyperparameters that a framework keeps in float32 even for float64 tensors."""
    BIAS_IN_DOUBLE: ClassVar[frozenset[str]] = frozenset()
    """Hyperparameters that Keras takes as Python numbers, in double, even for float32 tensors."""
    STATE_BYTES: ClassVar[str] = "8"
    """Bytes of state per float32 parameter, for the documentation."""
    KEEPS_WEIGHTS: ClassVar[bool] = False
    """Whether the state holds earlier weights, so that nothing else may set the parameters."""
    FORMER_PLACES: ClassVar[Mapping[str, FormerPlace]] = {
        "loss_scale": loss_scale_is_of_the_training,
        "average": average_is_of_the_training,
    }

    dialect: Dialect = "torch"
    """Whose math, defaults and rounding."""
    engine: Engine = "auto"
    """How the update is computed: by the rule itself (eager), by torch's fused kernel (fused), or
    by the faster of the two (auto)."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 regularization: weight_decay * p is added to the gradient, or decays p itself if
    decoupled."""
    decoupled_weight_decay: bool = per_dialect(
        {
            "torch": False,
            "paddle": False,
            "paddleocr": False,
            "mindspore": False,
            "keras": True,  # in its base class, for every optimizer
            "tf1": False,
            "article": False,
        }
    )
    """Whether weight_decay shrinks p by lr * weight_decay * p instead of joining the gradient."""
    l1: float = Field(0.0, ge=0)
    """L1 regularization: l1 * sign(p) is added to the gradient."""
    l2: float = Field(0.0, ge=0)
    """L2 regularization: l2 * p is added to the gradient, beside a weight_decay that is decoupled
    or the rule's own (a regularizer of Paddle's ParamAttr beside AdamW's decay)."""
    maximize: bool = False
    """Climb instead of descend."""
    grad_centralization: bool = False
    """Subtract from each row of a gradient its mean, where the gradient has two dimensions or
    more and the second is a multiple of 16 (MindSpore's condition)."""
    clip: AnyClip | None = None
    """Limit of the gradient, applied before any regularizer; null for none. A group may have a clip
    of its own, or null; its gradients then count in no global norm of the others."""
    multi_precision: bool = False
    """Keep float32 copies of bfloat16 and float16 parameters, and float32 slots."""
    groups: list[Group] = Field(default_factory=list, max_length=MAX_GROUPS)
    """Parameters with hyperparameters of their own; the first group that matches applies."""
    # fail_fast: one wrong entry of 10,000 is enough to be told.
    order_params: list[Name] | None = Field(None, max_length=MAX_ORDERED, fail_fast=True)
    """Names of all parameters, in an order that is reported; results do not depend on it."""
    schedules: Annotated[dict[str, AnySchedule], at_most(MAX_MOVED, "schedules")] = Field(
        default_factory=dict, max_length=MAX_MOVED
    )
    """Hyperparameter -> schedule of its value, which starts from the number given. A schedule may
    also stand in place of the number: ``{"weight_decay": {"kind": "linear", "value": 0.1}}``. Not
    for lr, whose schedule is that of the run, or of a group."""

    def has_kernel(self) -> bool:
        """Return whether torch has a fused kernel for this optimizer in this dialect."""
        return self.dialect in self.FUSED_IN

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags of the rule, which follow from the dialect and the spec."""
        return {}

    def hyperparameters(self) -> dict[str, float]:
        """Return the numbers of the rule, as given."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            # The type itself: a bool is an int, but flags are no numbers.
            if type(getattr(self, name)) in (int, float)
        }

    def rounded(self, *, single_precision: bool) -> frozenset[str]:
        """
        Return the names of the numbers that the dialect's kernel gets as float32.

        Paddle, MindSpore and TF1 take all of them so for float32 tensors, and some of them
        (`FLOAT32_IN`) even for float64 tensors. Keras holds lr in float32 whatever the tensors.
        """
        numbers = frozenset(self.hyperparameters())
        always = self.FLOAT32_IN.get(self.dialect, frozenset())
        if self.dialect in ("mindspore", "tf1") and self.dialect not in self.FLOAT32_IN:
            always = numbers - {"initial_accumulator_value"}
        if self.dialect == "keras":
            always |= {"lr", "weight_decay"}
            return numbers - self.BIAS_IN_DOUBLE if single_precision else always
        if self.dialect in PADDLE | {"mindspore", "tf1"}:
            return numbers if single_precision else always & numbers
        return frozenset()

    @property
    def own_decay(self) -> bool:
        """Whether a rule that has weight decay of its own applies it."""
        return not self.decoupled_weight_decay

    @property
    def paddle(self) -> bool:
        """Whether the math is Paddle's."""
        return self.dialect in PADDLE

    def overridden(self, overrides: Mapping[str, Any]) -> Self:
        """
        Return this spec, without its groups, with *overrides* in place of its own fields.

        A number among *overrides* is constant: a schedule that it had before is dropped.
        """
        # Nothing changes, so it is not parsed again (0.1 ms); specs are frozen and may be shared.
        if not overrides and not self.groups:
            return self
        given = {name: getattr(self, name) for name in self.model_fields_set - {"groups"}}
        if self.schedules:
            given["schedules"] = {n: s for n, s in self.schedules.items() if n not in overrides}
        return type(self).parse({**given, **overrides})

    def of_group(self, index: int, group: Group) -> Self:
        """
        Return the spec that holds in *group*; it is needed several times and computed once.

        Args:
            index: of the group in `groups`.
            group: that group, or one of those that its preset stands for, which are alike.
        """
        # The groups that a preset stands for have its overrides, and at most a weight_decay of 0
        # besides. So there are two specs at most for each group as written.
        key = index, group is self.groups[index]
        if key not in self._of_groups:
            self._of_groups[key] = self.overridden(group.overrides)
        return self._of_groups[key]

    # It writes past `frozen`, and what it keeps is no field: neither compared nor dumped.
    @cached_property
    def _of_groups(self) -> dict[tuple[int, bool], Self]:
        return {}

    def _exists(self, name: str) -> bool:
        defaults = dialects_of(type(self), name)
        return defaults is None or self.dialect in defaults

    @model_validator(mode="before")
    @classmethod
    def _take_schedules(cls, data: Any) -> Any:  # noqa: ANN401  whatever was given
        if not isinstance(data, dict):
            return data
        reject_schedule_of_lr(data)
        return take_schedules(cls, data)

    @model_validator(mode="after")
    def _fit_the_dialect(self) -> Self:
        if self.dialect not in self.DIALECTS:
            reject(
                ["dialect"],
                f"dialect of {self.kind} must be one of {', '.join(self.DIALECTS)}, "
                f"got {self.dialect!r}",
                self.dialect,
            )
        for name in self.model_fields_set:
            if not self._exists(name):
                reject(
                    [name],
                    f"{name} does not exist for {self.kind} in dialect {self.dialect}, "
                    f"only in {', '.join(dialects_of(type(self), name) or ())}",
                    getattr(self, name),
                )
        for name in type(self).model_fields:
            # None is the default that means required: pydantic does not validate defaults.
            if getattr(self, name) is None and dialects_of(type(self), name) is not None:
                reject(
                    [name],
                    f"{name} is required: {self.kind} has no default in dialect {self.dialect}",
                    None,
                )
        # For runs in float64 too: the optimizer's spec does not know the precision of its run.
        for name in self.rounded(single_precision=True):
            self._check_rounded(name)
        if self.engine == "fused" and not self.has_kernel():
            reject(
                ["engine"],
                f"engine fused does not exist for {self.kind} in dialect {self.dialect}: torch "
                f"has no such kernel; use auto or eager",
                self.engine,
            )
        return self

    @model_validator(mode="after")
    def _schedules_move_hyperparameters(self) -> Self:
        for name in self.schedules:
            if name not in self._movable():
                known = ", ".join(self._movable())
                reject(
                    ["schedules", name],
                    f"schedules must move hyperparameters of {self.kind} ({known}), "
                    f"got {short_repr(name)}",
                    name,
                )
        return self

    @model_validator(mode="after")
    def _groups_override_what_exists(self) -> Self:
        for i, group in enumerate(self.groups):
            group.check(self, i)
        return self

    def _movable(self) -> list[str]:
        """Return the hyperparameters that can change during a run: no counts, no first values."""
        fields = type(self).model_fields
        return [
            name
            for name in self.hyperparameters()
            # A count decides how much is kept (batch_num), and a first value is used once.
            if name != "lr"
            and fields[name].annotation is not int
            and not name.startswith("initial_")
            and self._exists(name)
        ]

    def _check_rounded(self, name: str) -> None:
        """Refuse a number that float32 takes out of its range (0.99999999 becomes 1)."""
        value = getattr(self, name)
        single = float32(value)
        # Only open limits: rounding to nearest is monotonic, so it does not cross a limit such as 0
        # or 1 that is a float32 itself.
        for limit in type(self).model_fields[name].metadata:
            # A limit may be anything that can be compared; here they are numbers.
            too_high = isinstance(limit, Lt) and not single < limit.lt  # type: ignore[operator]
            too_low = isinstance(limit, Gt) and not single > limit.gt  # type: ignore[operator]
            if too_high or too_low or not math.isfinite(single):
                reject(
                    [name],
                    f"{name} must stay in its range as a float32, which is what {self.dialect} "
                    f"makes of it, got {value} ({single})",
                    value,
                )

    @model_serializer(mode="wrap")
    # A return type here would stand in the JSON Schema in place of the fields.
    def _without_what_does_not_exist(self, handler: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401
        # Resolved specs are parsed again, by clones and by the worker, where a field that the
        # dialect lacks is refused.
        fields = {name: value for name, value in handler(self).items() if self._exists(name)}
        # For people: what it is, its own numbers, then what all optimizers share.
        first = [name for name in ("kind", "dialect", "engine") if name in fields]
        own = [name for name in fields if name not in OptimizerSpec.model_fields]
        return {name: fields[name] for name in dict.fromkeys([*first, *own, *fields])}
