"""A job made from another one: what it takes from there, and what is to be different."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from optcore.spec.base import Spec
from optcore.spec.duration import MAX_STEPS
from optcore.spec.errors import RULE, short_repr
from optserve.contract import canonical

Keep = Literal["weights", "optimizer"]


class CloneSpec(Spec):
    """What a job takes from another one, and what is to be different."""

    source: Literal["last", "best"] | Annotated[int, Field(ge=0, le=MAX_STEPS)] = Field(
        "last", alias="from"
    )
    """The state it begins with: the last one that is kept, the best one, or that after a step."""
    keep: Keep = "weights"
    """What it takes: the network's weights, or also the optimizer's slots and counts. The schedule
    and everything random begin anew."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """A JSON merge patch (RFC 7396) on the other job as it was posted, name, labels and priority
    included: what is named is replaced, null removes it, so that its default holds."""

    @field_validator("source", mode="before")
    @classmethod
    def _is_a_state(cls, value: object) -> object:
        is_step = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEPS
        if value not in ("last", "best") and not is_step:
            text = f"from must be last, best, or the step of a checkpoint, got {short_repr(value)}"
            raise PydanticCustomError(RULE, text)
        return value

    def sha256(self, job_id: str) -> str:
        """Return one word for what is asked of the job *job_id*."""
        asked = {"clone": job_id, **self.model_dump(mode="json", by_alias=True)}
        return canonical.sha256(asked)


def merge_patch(target: object, patch: object) -> Any:  # noqa: ANN401  whatever JSON can say
    """
    Return *target* after the JSON merge patch *patch*.

    References:
        Hoffman and Snell, JSON Merge Patch, RFC 7396, section 2.
    """
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
