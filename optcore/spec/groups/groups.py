"""Groups: parameters with hyperparameters of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from optcore.schedules.catalogue import AnySchedule
from optcore.spec.base import Spec
from optcore.spec.errors import RULE, TAG, SpecError, did_you_mean, reject, short_repr
from optcore.spec.former_places import reject_schedule_of_lr
from optcore.spec.limits import MAX_NAME, MAX_NAMES, MAX_WILDCARDS, are_lifted

if TYPE_CHECKING:
    from optcore.spec.optimizers.base import OptimizerSpec

Preset = Literal["no_decay_norm_bias", "layer_decay"]

NOT_PER_GROUP = frozenset(
    {
        "kind",
        "dialect",
        "engine",
        "multi_precision",
        "groups",
        "order_params",
        "no_weight_decay_name",
        "one_dim_param_no_weight_decay",
    }
)
"""Fields of an optimizer that hold for all of its parameters."""

WILDCARDS = "*?["
"""What makes a name a glob."""
MAX_LISTED = 4
"""Names of a match that `match_text` lists."""


# Functions choose the form: for a plain union pydantic would answer a wrong match with the names of
# both forms, which are not in the data.
def _match_form(value: Any) -> str:  # noqa: ANN401  pydantic hands over whatever was given
    # A Spec where a parsed spec is parsed again, as in OptimizerSpec.with_fields.
    return f"{TAG}object" if isinstance(value, (dict, Spec)) else f"{TAG}glob"


def _names_form(value: Any) -> str:  # noqa: ANN401  likewise
    return f"{TAG}several" if isinstance(value, list) else f"{TAG}one"


def _has_few_wildcards(glob: str) -> str:
    few = sum(glob.count(wildcard) for wildcard in WILDCARDS) <= MAX_WILDCARDS
    if not few and not are_lifted():
        text = (
            f"a glob must have at most {MAX_WILDCARDS} wildcards ({' '.join(WILDCARDS)}), "
            f"got {short_repr(glob)}"
        )
        raise PydanticCustomError(RULE, text)
    return glob


Name = Annotated[str, Field(max_length=MAX_NAME)]
"""A parameter's."""
Glob = Annotated[Name, AfterValidator(_has_few_wildcards)]
"""A name, or the form of several: ``"*.bias"``."""
Names = Annotated[
    Annotated[Glob, Tag(f"{TAG}one")]
    | Annotated[list[Glob], Field(max_length=MAX_NAMES), Tag(f"{TAG}several")],
    Discriminator(_names_form),
]
"""A name, or several."""


class Match(Spec):
    """Which parameters; all conditions that are given must hold."""

    name: Names | None = None
    """Glob of the parameter's name, or several of which one must fit: ``"*.bias"``."""
    ndim: int | None = Field(None, ge=0, le=64)
    """Number of dimensions."""
    module: Names | None = None
    """Type of the module that owns the parameter, as in a model's layers: ``"batch_norm"``."""


AnyMatch = Annotated[
    Annotated[Glob, Tag(f"{TAG}glob")] | Annotated[Match, Tag(f"{TAG}object")],
    Discriminator(_match_form),
]


class Group(Spec):
    """
    Parameters, and what is different for them: any hyperparameter of the optimizer.

    ``{"match": "*.bias", "weight_decay": 0}``
    """

    # Which fields there are depends on the optimizer, which `check` has parse them.
    model_config = ConfigDict(extra="allow")

    match: AnyMatch | None = None
    """Which parameters: a glob of their names, or an object with name, ndim, module."""
    preset: Preset | None = None
    """Instead of match, a rule known by name: no_decay_norm_bias (biases and one-dimensional
    parameters get no weight decay) or layer_decay (lr falls from the last layer to the first)."""
    factor: float = Field(0.75, gt=0, le=1)
    """layer_decay: lr of a layer, as a share of the layer's after it."""
    lr_scale: float = Field(1.0, ge=0)
    """Factor to the learning rate (what Paddle calls a group's learning_rate)."""
    schedule: AnySchedule | None = None
    """How the group's lr moves; null for the schedule of the run, from the group's lr."""

    @property
    def overrides(self) -> dict[str, Any]:
        """Hyperparameters that are different."""
        return dict(self.model_extra or {})

    @property
    def num_names(self) -> int:
        """How many names and globs it has."""
        match = as_match(self.match)
        lists = (match.name, match.module, self.overrides.get("exclude"))
        return sum(len(names) if isinstance(names, list) else 1 for names in lists if names)

    def check(self, base: OptimizerSpec, i: int) -> None:
        """Refuse, as group *i* of *base*, what the optimizer does not have."""
        where: list[str | int] = ["groups", i]
        if (self.match is None) == (self.preset is None):
            given = "neither" if self.match is None else "both"
            reject([*where, "match"], f"give either match or preset, got {given}", self.match)
        reject_schedule_of_lr(self.overrides, i)
        for name, value in self.overrides.items():
            if name in base.FORMER_PLACES:
                reject([*where, name], base.FORMER_PLACES[name](value), value)
            if name in NOT_PER_GROUP:
                reject([*where, name], f"{name} holds for all groups: set it beside groups", name)
            if name not in type(base).model_fields:
                known = [f for f in type(base).model_fields if f not in NOT_PER_GROUP]
                known += ["match", "preset", "factor", "lr_scale", "schedule"]
                near = did_you_mean(name, known)
                reject(
                    [*where, name],
                    f"unknown field {short_repr(name)}{near} ({', '.join(known)})",
                    value,
                )
        try:
            # Parsed by the optimizer's own class, so that a field has the same rules in a group.
            base.of_group(i, self)
        except SpecError as error:
            first = error.problems[0]
            reject([*where, first.param], first.message, self.overrides.get(first.param))


def as_match(match: str | Match | None) -> Match:
    """Return *match* as an object."""
    return match if isinstance(match, Match) else Match(name=match)


def match_text(group: Group) -> str:
    """Return what *group* matches, in a few words."""
    if isinstance(group.match, Match):
        conditions = group.match.model_dump(exclude_none=True)
        return " and ".join(f"{name} {_listed(value)}" for name, value in conditions.items())
    return group.match if group.match is not None else group.preset or "the rest"


def _listed(value: object) -> str:
    """Return a name, a number, or the first of several names."""
    if not isinstance(value, list) or len(value) <= MAX_LISTED:
        return str(value)
    return f"{value[:MAX_LISTED]} and {len(value) - MAX_LISTED} more"
