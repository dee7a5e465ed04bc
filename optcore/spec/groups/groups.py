"""Groups of parameters with hyperparameters of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from optcore.schedules.catalogue import AnySchedule
from optcore.spec.base import Spec
from optcore.spec.errors import TAG, SpecError, did_you_mean, reject, short_repr
from optcore.spec.former.places import reject_schedule_of_lr
from optcore.spec.groups.globs import Glob, comparison
from optcore.spec.limits import MAX_NAMES

if TYPE_CHECKING:
    from optcore.spec.optimizers.base import OptimizerSpec

Preset = Literal["no_decay_norm_bias", "layer_decay"]

NOT_PER_GROUP = frozenset(
    {
        "kind",
        "dialect",
        "engine",
        "clip_update",
        "multi_precision",
        "groups",
        "order_params",
        "no_weight_decay_name",
        "one_dim_param_no_weight_decay",
    }
)
"""Fields of an optimizer that are the same for all parameters: a group cannot set them."""

MAX_LISTED = 4
"""Largest number of names that `match_text` lists."""


# Functions choose the form: for a plain union, pydantic's error about a wrong match would contain
# the names of both forms, which are not in the data.
def _match_form(value: Any) -> str:  # noqa: ANN401  pydantic hands over whatever was given
    # It is a Spec if a parsed spec is parsed again, as in OptimizerSpec.overridden.
    return f"{TAG}object" if isinstance(value, (dict, Spec)) else f"{TAG}glob"


def _names_form(value: Any) -> str:  # noqa: ANN401  likewise
    return f"{TAG}several" if isinstance(value, list) else f"{TAG}one"


Names = Annotated[
    Annotated[Glob, Tag(f"{TAG}one")]
    | Annotated[list[Glob], Field(max_length=MAX_NAMES, fail_fast=True), Tag(f"{TAG}several")],
    Discriminator(_names_form),
]
"""A glob, or a list of globs."""


class Match(Spec):
    """Conditions on parameters; a parameter matches if it meets all conditions that are given."""

    name: Names | None = None
    """Glob for the parameter's name, such as ``"*.bias"``, or a list of globs of which one must
    match."""
    ndim: int | None = Field(None, ge=0, le=64)
    """Number of dimensions of the parameter."""
    module: Names | None = None
    """Type of the module that contains the parameter, such as ``"batch_norm"`` (the kind of a layer
    in a model), or a list of types."""


AnyMatch = Annotated[
    Annotated[Glob, Tag(f"{TAG}glob")] | Annotated[Match, Tag(f"{TAG}object")],
    Discriminator(_match_form),
]


class Group(Spec):
    """
    A group of parameters, and the hyperparameters that have other values for this group.

    ``{"match": "*.bias", "weight_decay": 0}``
    """

    # The possible fields depend on the optimizer, whose class parses them in `check`.
    model_config = ConfigDict(extra="allow")

    match: AnyMatch | None = None
    """Parameters in the group: a glob for their names, or an object with name, ndim and module."""
    preset: Preset | None = None
    """Named rule to use instead of match: no_decay_norm_bias (biases, norms and one-dimensional
    parameters get no weight decay) or layer_decay (lr falls from the last layer to the first; a
    residual or parallel block, or a copy of a repeat, is one layer)."""
    factor: float = Field(0.75, gt=0, le=1)
    """For layer_decay: the lr of a layer divided by the lr of the next layer."""
    lr_scale: float = Field(1.0, ge=0)
    """Factor that multiplies the learning rate (in Paddle the learning_rate of a group)."""
    schedule: AnySchedule | None = None
    """Schedule of the group's lr; null to use the run's schedule, starting from the group's lr."""

    @property
    def overrides(self) -> dict[str, Any]:
        """The hyperparameters that the group sets, by name."""
        return dict(self.model_extra or {})

    @property
    def num_names(self) -> int:
        """Number of names and globs in the group."""
        match = as_match(self.match)
        lists = (match.name, match.module, self.overrides.get("exclude"))
        return sum(len(names) if isinstance(names, list) else 1 for names in lists if names)

    @property
    def comparisons(self) -> int:
        """How long it takes to compare the group with a parameter (see `comparison`)."""
        match, excluded = as_match(self.match), self.overrides.get("exclude", [])
        names = [match.name] if isinstance(match.name, str) else match.name
        # Without a name, all parameters are looked at; with no_decay_norm_bias, four times.
        own = (4 if self.preset else 1) if names is None else sum(map(comparison, names))
        return own + sum(map(comparison, excluded))

    def check(self, base: OptimizerSpec, i: int) -> None:
        """Raise an error if a field of this group, group *i* of the optimizer *base*, is wrong."""
        where: list[str | int] = ["groups", i]
        if (self.match is None) == (self.preset is None):
            given = "neither" if self.match is None else "both"
            text = f"exactly one of match and preset must be given, got {given}"
            reject([*where, "match"], text, self.match)
        reject_schedule_of_lr(self.overrides, i)
        for name, value in self.overrides.items():
            if name in base.FORMER_PLACES:
                reject([*where, name], base.FORMER_PLACES[name](value), value)
            if name in NOT_PER_GROUP:
                rule = "applies to all groups: set it in the optimizer, not in a group"
                reject([*where, name], f"{name} {rule}", name)
            if name not in type(base).model_fields:
                known = [f for f in type(base).model_fields if f not in NOT_PER_GROUP]
                known += ["match", "preset", "factor", "lr_scale", "schedule"]
                near = did_you_mean(name, known, kind=base.kind, paths=True)
                reject(
                    [*where, name],
                    f"unknown field {short_repr(name)}{near} (known: {', '.join(known)})",
                    value,
                )
        try:
            # Parsed by the optimizer's own class, so that a field has the same rules in a group.
            base.of_group(i, self)
        except SpecError as error:
            first = error.problems[0]
            reject([*where, first.param], first.message, self.overrides.get(first.param))


def as_match(match: str | Match | None) -> Match:
    """Return *match* as a `Match`; a string becomes the condition *name*."""
    return match if isinstance(match, Match) else Match(name=match)


def match_text(group: Group) -> str:
    """Return a short text that describes which parameters *group* matches."""
    if isinstance(group.match, Match):
        conditions = group.match.model_dump(exclude_none=True)
        return " and ".join(f"{name} {_listed(value)}" for name, value in conditions.items())
    return group.match if group.match is not None else group.preset or "the rest"


def names_text(names: list[str]) -> str:
    """Return the `match_text` of a group that lists *names*, as the groups of layer_decay do."""
    return f"name {_listed(names)}"


def _listed(value: object) -> str:
    """Return *value* as text: a name, a number, or the first `MAX_LISTED` names in a list."""
    if not isinstance(value, list) or len(value) <= MAX_LISTED:
        return str(value)
    return f"{value[:MAX_LISTED]} and {len(value) - MAX_LISTED} more"
