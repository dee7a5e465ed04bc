"""
Clipping: limits on the size of gradients, applied before any regularizer in every dialect.

A group of parameters may have a clip of its own, or null for no clip. (In Paddle, these are the
grad_clip of a group and ParamAttr(need_clip=False).) If the group's own clip limits a global norm,
this norm is computed over the gradients of the group alone. The global norm of the other parameters
excludes the gradients of the group.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.errors import reject


class ClipValue(Spec):
    """
    Limit every coordinate of a gradient by itself.

    ::

        g = min(max(g, min), max)

    References:
        torch.nn.utils.clip_grad_value_, paddle.nn.ClipGradByValue, mindspore.ops.clip_by_value,
        optax.clip.
    """

    kind: Literal["value"]
    max: float
    """Largest value of a coordinate."""
    min: float | None = None
    """Smallest value of a coordinate; null for -max."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lowest > self.max:
            given = f"{self.min}" if self.min is not None else f"null, which is -max ({-self.max})"
            reject(["min"], f"min must be at most max ({self.max}), got {given}", self.lowest)
        return self

    @property
    def lowest(self) -> float:
        """The smallest value of a coordinate: min, or -max if min is null."""
        return -self.max if self.min is None else self.min

    @property
    def largest(self) -> float:
        """The larger absolute value of the two limits."""
        return max(abs(self.max), abs(self.lowest))


class ClipNorm(Spec):
    """
    Limit the norm of each parameter's gradient by itself (PaddleOCR's clip_norm).

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
        """The limit on the norm."""
        return self.max


class ClipRms(Spec):
    """
    Limit the root mean square of each parameter's gradient by itself.

    ::

        g = g * max / max(rms(g), max)

    References:
        optax.clip_by_block_rms.
    """

    kind: Literal["rms"]
    max: float = Field(gt=0)
    """Largest root mean square of one gradient."""

    @property
    def largest(self) -> float:
        """The limit on the root mean square."""
        return self.max


class ClipAdaptive(Spec):
    """
    Limit the norm of each unit's gradient to the share *max* of the norm of the unit's weights.

    ::

        limit = max * maximum(norm(p), eps)                  for each unit
        g     = g * min(1, limit / maximum(norm(g), 1e-6))

    A unit is all weights that compute one output. In torch's layout, these are the weights at one
    index of the first dimension. In dialect optax, which has flax's layout, they are the weights at
    one index of the last dimension. A vector is one unit.

    References:
        Brock et al., High-Performance Large-Scale Image Recognition Without Normalization, 2021,
        equation 3. https://arxiv.org/abs/2102.06171
        optax.adaptive_grad_clip, timm.utils.agc.
    """

    kind: Literal["adaptive"]
    max: float = Field(gt=0)
    """Largest norm of a gradient, as a share of the norm of the weights."""
    eps: float = Field(1e-3, gt=0)
    """Lower bound of the norm of the weights, so that weights of 0 can move."""

    @property
    def largest(self) -> float:
        """The limit on the norm, as a share of the norm of the weights."""
        return self.max


class ClipGlobalNorm(Spec):
    """
    Limit the norm of all gradients together.

    ::

        torch, timm, bitsandbytes                elsewhere, and timm's lamb
        g = g * min(1, max / (norm + 1e-6))      g = g * max / max(norm, max)

    References:
        Pascanu, Mikolov and Bengio, On the Difficulty of Training Recurrent Neural Networks,
        2013, Algorithm 1. https://arxiv.org/abs/1211.5063
        torch.nn.utils.clip_grad_norm_, paddle.nn.ClipGradByGlobalNorm, keras global_clipnorm,
        tf.clip_by_global_norm, mindspore.ops.clip_by_global_norm, optax.clip_by_global_norm.
    """

    kind: Literal["global_norm"]
    max: float = Field(gt=0)
    """Largest norm of all gradients together."""
    per_group: bool = False
    """Whether the norm is computed over each group of parameters by itself, as in Paddle with
    parameter groups. A group's own clip always does this."""

    @property
    def largest(self) -> float:
        """The limit on the norm."""
        return self.max


AnyClip = Annotated[
    ClipValue | ClipNorm | ClipRms | ClipAdaptive | ClipGlobalNorm, Field(discriminator="kind")
]
"""Any clip of gradients, selected by `kind`."""
UpdateClip = Annotated[ClipValue | ClipNorm | ClipRms | ClipGlobalNorm, Field(discriminator="kind")]
"""Any clip of the change of the parameters, selected by `kind`."""
