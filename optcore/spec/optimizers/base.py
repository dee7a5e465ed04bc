"""The base of all optimizers' specs: dialect, regularizers, clipping, groups, precision."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from optcore.schedules.catalogue import AnySchedule
from optcore.spec.base import Dialect, Spec, per_dialect, value_of
from optcore.spec.errors import reject, short_repr
from optcore.spec.former.places import (
    FormerPlace,
    average_is_of_the_training,
    loss_scale_is_of_the_training,
    reject_schedule_of_lr,
)
from optcore.spec.groups.globs import Name
from optcore.spec.groups.groups import Group
from optcore.spec.layers.base import Shape
from optcore.spec.limits import (
    MAX_GROUPS,
    MAX_MOVED,
    MAX_ORDERED,
    at_most,
)
from optcore.spec.optimizers.checked import check_dialect
from optcore.spec.optimizers.clip import AnyClip, UpdateClip
from optcore.spec.optimizers.dialect_fields import has_field, names_in, number_fields
from optcore.spec.optimizers.scheduled import take_schedules

Engine = Literal["auto", "eager", "fused"]

LIKE_TORCH: frozenset[Dialect] = frozenset({"torch", "timm", "bitsandbytes"})
"""Dialects that clip by the global norm with torch's clip_grad_norm_."""
PADDLE: frozenset[Dialect] = frozenset({"paddle", "paddleocr"})
"""Dialects with Paddle's math: PaddleOCR uses Paddle's optimizers, with other defaults."""
ROUNDING: frozenset[Dialect] = PADDLE | {"mindspore", "tf1", "keras"}
"""Dialects whose kernels take some hyperparameters as float32, whatever the optimizer is."""

# While a service is upgraded, the previous release reads the same records.
NEWER = frozenset({"corrected_weight_decay", "cautious", "clip_update"})
"""Fields that release 0.2.0 does not know; they are not dumped if they are false or null."""


class OptimizerSpec(Spec):
    """The spec of an optimizer: the fields and the checks that all optimizers share."""

    # A run's schema contains all optimizers; those of single classes are built when first used.
    model_config = ConfigDict(defer_build=True)

    kind: str
    """Name of the optimizer."""

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch",)
    """Dialects that have the optimizer; the first is the default."""
    ELSEWHERE: ClassVar[Mapping[Dialect, str]] = {}
    """Maps a dialect without the optimizer to a hint for its users, at the end of the error."""
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset()
    """Dialects in which one of torch's fused kernels computes exactly this rule."""
    FUSED_DECAY: ClassVar[bool] = False
    """Whether the weight decay of torch's fused kernel is decoupled; false if the kernel adds the
    decay to the gradient."""
    FLOAT32_IN: ClassVar[Mapping[Dialect, frozenset[str]]] = {}
    """Maps a dialect to the hyperparameters that it keeps in float32 even for float64 tensors."""
    BIAS_IN_DOUBLE: ClassVar[frozenset[str]] = frozenset()
    """Hyperparameters that Keras takes as Python numbers, in double, even for float32 tensors."""
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset()
    """Hyperparameters that are passed to the update rule only in dialects that have them."""
    STATE_BYTES: ClassVar[str] = "8"
    """Text for the documentation: bytes of state per float32 parameter."""
    KEEPS_WEIGHTS: ClassVar[bool] = False
    """Whether the state contains earlier weights, so that nothing else may set the parameters."""
    FORMER_PLACES: ClassVar[Mapping[str, FormerPlace]] = {
        "loss_scale": loss_scale_is_of_the_training,
        "average": average_is_of_the_training,
    }

    dialect: Dialect = "torch"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    engine: Engine = "auto"
    """How the update is computed: by the update rule itself (eager), by torch's fused kernel
    (fused), or by the faster of the two (auto)."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 regularization: weight_decay * p is added to the gradient, or, if
    decoupled_weight_decay is true, lr * weight_decay * p is subtracted from p."""
    decoupled_weight_decay: bool = per_dialect(
        {
            "torch": False,
            "paddle": False,
            "paddleocr": False,
            "mindspore": False,
            "keras": True,  # in its base class, for every optimizer
            "tf1": False,
            "article": False,
            "timm": False,
            "optax": False,
            "transformers": False,
            "bitsandbytes": True,
        }
    )
    """Whether weight_decay shrinks p by lr * weight_decay * p, instead of being added to the
    gradient as weight_decay * p."""
    corrected_weight_decay: bool = False
    """Whether a decoupled weight_decay is also multiplied by lr / lr0, so that it falls with the
    square of lr, as in timm's names that end in c. lr0 is the lr of the spec, before any schedule
    and lr_scale."""
    l1: float = Field(0.0, ge=0)
    """L1 regularization: l1 * sign(p) is added to the gradient."""
    l2: float = Field(0.0, ge=0)
    """L2 regularization: l2 * p is added to the gradient, whatever weight_decay does. (Paddle adds
    the regularizer of a ParamAttr like this, also with AdamW.)"""
    maximize: bool = False
    """Whether to maximize the loss instead of minimizing it."""
    grad_centralization: bool = False
    """Whether to subtract from each row of a gradient the mean of the row, if the gradient has two
    or more dimensions and the size of the second is a multiple of 16 (MindSpore's condition)."""
    clip: AnyClip | None = None
    """Limit on the gradient, applied before any regularizer; null for no limit. A group may have
    its own clip, or null; the global norm of the other gradients then excludes the group."""
    clip_update: UpdateClip | None = None
    """Limit on the change of the parameters in an update, including lr and decay, applied last (in
    optax, a clip after the optimizer in a chain); null for no limit."""
    multi_precision: bool = False
    """Whether to keep float32 copies of bfloat16 and float16 parameters, and float32 slots (the
    optimizer's state)."""
    groups: list[Group] = Field(default_factory=list, max_length=MAX_GROUPS)
    """Groups of parameters with hyperparameters of their own. A parameter belongs to the first
    group that matches it."""
    # fail_fast: one error is enough if many of 10,000 entries are wrong.
    order_params: list[Name] | None = Field(None, max_length=MAX_ORDERED, fail_fast=True)
    """Names of all trainable parameters, in any order. The list is checked and stored with the
    spec, but results do not depend on it."""
    schedules: Annotated[dict[str, AnySchedule], at_most(MAX_MOVED, "schedules")] = Field(
        default_factory=dict, max_length=MAX_MOVED
    )
    """Maps a hyperparameter to the schedule of its value, which starts from the hyperparameter's
    number. A schedule may also be written in place of the number:
    ``{"weight_decay": {"kind": "linear", "value": 0.1}}``. lr is not allowed here: its schedule is
    a field of the run or of a group."""

    def has_kernel(self) -> bool:
        """Return whether torch has a fused kernel for this optimizer in this dialect."""
        return self.dialect in self.FUSED_IN

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """
        Return the booleans that select the formulas of the update rule, by name.

        Args:
            single_precision: whether the update computes in float32; false for float64.
        """
        return {}

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters that are numbers, by name, with their values in the spec."""
        return {
            name: value
            for name in number_fields(type(self))
            # The exact type: a bool is an int, but flags are not numbers.
            if type(value := getattr(self, name)) in (int, float)
            and (name not in self.LEFT_OUT or self.has_field(name))
        }

    def rounded(self, *, single_precision: bool) -> frozenset[str]:
        """
        Return the names of the hyperparameters that the dialect's kernel takes as float32.

        If the update computes in float32 (*single_precision*), Paddle, MindSpore and TF1 take all
        hyperparameters as float32. Keras takes all but those in `BIAS_IN_DOUBLE`.

        If the update computes in float64, Paddle takes the hyperparameters in `FLOAT32_IN` as
        float32. Keras takes these and also lr and weight_decay. MindSpore and TF1 take all but
        initial_accumulator_value.

        The other dialects take none as float32.
        """
        if self.dialect not in ROUNDING:
            return frozenset()
        numbers = frozenset(self.hyperparameters())
        always = self.FLOAT32_IN.get(self.dialect, frozenset())
        if self.dialect in ("mindspore", "tf1") and self.dialect not in self.FLOAT32_IN:
            always = numbers - {"initial_accumulator_value"}
        if self.dialect == "keras":
            always |= {"lr", "weight_decay"}
            return numbers - self.BIAS_IN_DOUBLE if single_precision else always
        return numbers if single_precision else always & numbers

    @property
    def own_decay(self) -> bool:
        """Whether the weight decay is left to the update rule; false if the decay is decoupled."""
        return not self.decoupled_weight_decay

    @property
    def clips_like_torch(self) -> bool:
        """Whether a clip by global norm divides by norm + 1e-6, as torch's clip_grad_norm_ does."""
        return self.dialect in LIKE_TORCH

    @property
    def in_float32(self) -> bool:
        """Whether 16-bit parameters are updated in float32, with float32 slots."""
        return self.multi_precision

    @property
    def paddle(self) -> bool:
        """Whether the dialect has Paddle's math."""
        return self.dialect in PADDLE

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*, to about a percent."""
        per_number = int(self.STATE_BYTES.partition(";")[0])
        return (per_number + (4 if value_of(self, "amsgrad", False) else 0)) * prod(shape)

    def overridden(self, overrides: Mapping[str, Any]) -> Self:
        """
        Return a copy of this spec without groups, in which *overrides* replace fields.

        A number in *overrides* is constant: the copy has no schedule for that hyperparameter.
        """
        # Nothing changes, so the spec is not parsed again (0.1 ms); specs are frozen, so they may
        # be shared.
        if not overrides and not self.groups:
            return self
        given = {name: getattr(self, name) for name in self.model_fields_set - {"groups"}}
        if self.schedules:
            given["schedules"] = {n: s for n, s in self.schedules.items() if n not in overrides}
        return type(self).parse({**given, **overrides})

    def of_group(self, index: int, group: Group) -> Self:
        """
        Return the spec that applies to the parameters in *group*. It is computed once, then cached.

        Args:
            index: an index in `groups`.
            group: the group at *index*, or one of the groups that the preset of this group
                expands to.
        """
        # The groups that a preset expands to have the overrides of the group with the preset, and
        # at most a weight_decay of 0 in addition. So each group as written has at most two specs.
        key = index, group is self.groups[index]
        if key not in self._of_groups:
            self._of_groups[key] = self.overridden(group.overrides)
        return self._of_groups[key]

    # cached_property can write to a frozen spec, and the cache is not a field: it is neither
    # compared nor dumped.
    @cached_property
    def _of_groups(self) -> dict[tuple[int, bool], Self]:
        return {}

    def has_field(self, name: str) -> bool:
        """Return whether the dialect of this optimizer has the field *name*."""
        return has_field(type(self), name, self.dialect)

    @model_validator(mode="before")
    @classmethod
    def _take_schedules(cls, data: Any) -> Any:  # noqa: ANN401  whatever was given
        if not isinstance(data, dict):
            return data
        reject_schedule_of_lr(data)
        return take_schedules(cls, data)

    @model_validator(mode="after")
    def _fit_the_dialect(self) -> Self:
        check_dialect(self)
        if self.engine == "fused" and not self.has_kernel():
            reject(
                ["engine"],
                f"engine must be auto or eager, got fused: torch has no fused kernel for "
                f"{self.kind} in dialect {self.dialect} with these fields",
                self.engine,
            )
        return self

    @model_validator(mode="after")
    def _corrected_decay_is_decoupled(self) -> Self:
        if self.corrected_weight_decay and not self.decoupled_weight_decay:
            reject(
                ["corrected_weight_decay"],
                "corrected_weight_decay must be false without decoupled_weight_decay, got true",
                True,
            )
        return self

    @model_validator(mode="after")
    def _updates_are_clipped_in_the_precision_of_the_parameters(self) -> Self:
        if self.clip_update is not None and self.multi_precision:
            reject(
                ["clip_update"],
                "clip_update must be null if multi_precision is true, since the clip would not "
                f"limit the float32 copies of parameters, got {self.clip_update.model_dump()}",
                self.clip_update.model_dump(),
            )
        return self

    @model_validator(mode="after")
    def _schedules_move_hyperparameters(self) -> Self:
        for name in self.schedules:
            if name not in self._movable():
                known = ", ".join(self._movable())
                reject(
                    ["schedules", name],
                    f"schedules must be for hyperparameters of {self.kind} ({known}), "
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
        """Return the names of hyperparameters that may have a schedule."""
        # All but lr, whose schedule is elsewhere, counts and initial values.
        fields = type(self).model_fields
        return [
            name
            for name in self.hyperparameters()
            # A count determines the size of the state (batch_num); an initial value is used once.
            if name in fields  # muon's beta2 is not: it is a field of its AdamW
            and name != "lr"
            and fields[name].annotation is not int
            and not name.startswith("initial_")
            and self.has_field(name)
        ]

    @model_serializer(mode="wrap")
    # With a return type here, the JSON Schema would describe that type instead of the fields.
    def _without_what_does_not_exist(self, handler: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401
        # Resolved specs are parsed again, by clones and by the worker, where a field that the
        # dialect lacks is refused.
        fields = handler(self)
        return {
            name: fields[name]
            for name in names_in(type(self), self.dialect, common=OptimizerSpec)
            if name in fields and not (name in NEWER and fields[name] in (False, None))
        }
