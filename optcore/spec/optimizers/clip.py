"""
Clipping: how large a gradient may be. It comes before any regularizer, in every dialect.

A group of parameters may have a clip of its own, or null for none (Paddle's grad_clip of a group,
and its ParamAttr(need_clip=False)). A global norm is then of that group's gradients alone, and they
do not count in the norm of the others.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.errors import reject


class ClipValue(Spec):
    """
    Every coordinate by itself.

    ::

        g = min(max(g, min), max)

    References:
        torch.nn.utils.clip_grad_value_, paddle.nn.ClipGradByValue, mindspore.ops.clip_by_value.
    """

    kind: Literal["value"]
    max: float
    """Largest coordinate."""
    min: float | None = None
    """Smallest coordinate; null for -max."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lowest > self.max:
            reject(["min"], f"min must be at most max ({self.max}), got {self.lowest}", self.lowest)
        return self

    @property
    def lowest(self) -> float:
        """Smallest coordinate."""
        return -self.max if self.min is None else self.min

    @property
    def largest(self) -> float:
        """The larger of its numbers, whatever their signs."""
        return max(abs(self.max), abs(self.lowest))


class ClipNorm(Spec):
    """
    Each parameter's gradient by its own norm (PaddleOCR's clip_norm).

    ::

        g = g * max / max(norm(g), max)

    References:
        paddle.nn.ClipGradByNorm, keras clipnorm, mindspore.ops.clip_by_norm.
    """

    kind: Literal["norm"]
    max: float = Field(gt=0)
    """Largest norm of one gradient."""

    @property
    def largest(self) -> float:
        """Its number."""
        return self.max


class ClipGlobalNorm(Spec):
    """
    All gradients together, by the norm of all.

    ::

        torch                                    elsewhere
        g = g * min(1, max / (norm + 1e-6))      g = g * max / max(norm, max)

    References:
        Pascanu, Mikolov and Bengio, On the Difficulty of Training Recurrent Neural Networks,
        2013, Algorithm 1. https://arxiv.org/abs/1211.5063
        torch.nn.utils.clip_grad_norm_, paddle.nn.ClipGradByGlobalNorm, keras global_clipnorm,
        tf.clip_by_global_norm, mindspore.ops.clip_by_global_norm.
    """

    kind: Literal["global_norm"]
    max: float = Field(gt=0)
    """Largest norm of all gradients together."""
    per_group: bool = False
    """One norm for each group of parameters by itself, as in Paddle with parameter groups; always
    so for a group's own clip."""

    @property
    def largest(self) -> float:
        """Its number."""
        return self.max


AnyClip = Annotated[ClipValue | ClipNorm | ClipGlobalNorm, Field(discriminator="kind")]
"""One of the clips, told apart by `kind`."""
