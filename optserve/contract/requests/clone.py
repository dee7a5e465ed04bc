"""The request to clone a job: what the clone copies from the job, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from optcore.spec.base import Spec
from optcore.spec.duration import MAX_STEPS
from optcore.spec.errors import RULE, reject, short_repr
from optcore.spec.groups.globs import Glob
from optcore.spec.networks.weight_map import MAX_MAPPED, Prefix, WeightMap, duplicate
from optserve.contract import canonical

Keep = Literal["weights", "optimizer"]


class CloneSpec(Spec):
    """A request to clone a job: what the clone copies from the job, and what it changes."""

    source: Literal["last", "best"] | Annotated[int, Field(ge=0, le=MAX_STEPS)] = Field(
        "last", alias="from"
    )
    """The state that the clone starts from: `last` for the last stored state, `best` for the best
    state, or the number of steps of a stored state."""
    keep: Keep = "weights"
    """What the clone copies: `weights` for the network's weights, or `optimizer` to continue the
    training: also the optimizer's state, the loss scale, averages of the weights, and the place in
    the order of the examples and of random numbers. The schedule starts over. With a constant lr,
    a job and its clone are then equal, bit for bit, to one longer job."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """A JSON merge patch (RFC 7396) for the spec of the cloned job as it was posted, including
    name, labels and priority. A field in the patch replaces the field of the job; null removes the
    field, so that it gets its default. If the patch changes the `kind` of a part, such as a
    schedule or an ema, fields of the job that the new kind does not have are removed. If it sets
    one of `steps` and `epochs` of `training`, the other is removed."""
    # Fields that were added after release 0.2.0 are left out of JSON, and so of `sha256`, while
    # they have their default.
    prefixes: list[Prefix] = Field(
        default_factory=list, max_length=MAX_MAPPED, exclude_if=lambda prefixes: not prefixes
    )
    """Where weights of the job go in the clone's network, by first parts of their names:
    ``[{"from": "", "to": "backbone"}]`` for a network that has the job's as its block backbone. Of
    several that fit, the longest counts. Weights that no prefix names keep their names."""
    fresh: list[Glob] = Field(
        default_factory=list, max_length=MAX_MAPPED, exclude_if=lambda globs: not globs
    )
    """Globs for names in the clone's network whose weights are initialised, not taken from the job:
    ``["head.*"]``. Without one, weights that the job lacks or has in another shape are refused."""
    omit: list[Glob] = Field(
        default_factory=list, max_length=MAX_MAPPED, exclude_if=lambda globs: not globs
    )
    """Globs for names in the job's network whose weights the clone does not take. Without one,
    weights that the clone's network has no place for are refused, except where *fresh* weights
    replace them."""

    @property
    def weights(self) -> WeightMap:
        """Which weights of the job the clone takes, under which names."""
        return WeightMap(self.prefixes, self.fresh, self.omit)

    @model_validator(mode="after")
    def _map_is_of_weights(self) -> Self:
        i = duplicate(self.prefixes)
        if i is not None:
            to = self.prefixes[i].to
            text = f"to must differ from that of the other prefixes, got {short_repr(to)} twice"
            reject(["prefixes", i, "to"], text, to)
        if self.weights and self.keep == "optimizer":
            text = "keep must be weights with prefixes, fresh or omit, got optimizer"
            reject(["keep"], text, self.keep)
        return self

    @field_validator("source", mode="before")
    @classmethod
    def _is_a_state(cls, value: object) -> object:
        # Before pydantic, which would report one error for each member of the union. And true is an
        # int to Python.
        is_step = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEPS
        if value not in ("last", "best") and not is_step:
            text = f"from must be last, best, or the step of a checkpoint, got {short_repr(value)}"
            raise PydanticCustomError(RULE, text)
        return value

    def sha256(self, job_id: str) -> str:
        """Return the SHA-256 of this request together with *job_id*, the job to clone."""
        # With the parent's id: the same body is another request for another job. A job has no field
        # of this name, so no submission has the same hash. A field that is added to clones must be
        # left out of this while it has its default: a request that is repeated after the upgrade
        # would be a conflict with itself.
        request = {"clone": job_id, **self.model_dump(mode="json", by_alias=True)}
        return canonical.sha256(request)


def merge_patch(target: object, patch: object) -> Any:  # noqa: ANN401  any JSON value
    """
    Return *target* with the JSON merge patch *patch* applied.

    References:
        Hoffman and Snell, JSON Merge Patch, RFC 7396, section 2.
    """
    if not isinstance(patch, Mapping):  # lists are replaced as a whole, as the RFC says
        return patch
    # Recursive, as deep as the patch nests: 32 levels at most in a request (`strict_json`).
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
