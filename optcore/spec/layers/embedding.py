"""Vectors for tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.layers.base import (
    MAX_UNITS,
    SEQUENCE,
    TOKENS,
    LayerSpec,
    Parameter,
    ShapeError,
    TensorSpec,
)

MAX_TOKENS = 1_000_000
"""Largest number of different tokens."""


class Embedding(LayerSpec):
    """A trained vector for each token, as torch.nn.Embedding."""

    kind: Literal["embedding"]
    num_embeddings: int = Field(ge=1, le=MAX_TOKENS)
    """Number of different tokens."""
    embedding_dim: int = Field(ge=1, le=MAX_UNITS)
    """Number of features of a vector."""
    sparse: bool = False
    """Whether the gradient of weight holds only the rows of the tokens in the batch. Only some
    optimizers take such a gradient; lazy_adam changes no other row then."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (length, embedding_dim) for tokens (length)."""
        if not given.integers or given.axes != TOKENS:
            raise ShapeError(
                f"embedding needs tokens (length), got {given}; datasets of the task "
                "language_model have tokens, and a linear layer takes real numbers"
            )
        return TensorSpec((*given.shape, self.embedding_dim), SEQUENCE)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight (num_embeddings, embedding_dim)."""
        return [Parameter("weight", (self.num_embeddings, self.embedding_dim))]
