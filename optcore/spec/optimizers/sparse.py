"""Which optimizers take row-sparse gradients, such as those of an embedding with ``sparse``."""

from __future__ import annotations

from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.clip import ClipAdaptive

TAKES_SPARSE = frozenset({"sgd", "momentum", "nesterov", "adagrad", "lazy_adam"})
"""Optimizers that take row-sparse gradients in every dialect."""
TAKES_SPARSE_IN_PADDLE = frozenset({"adam", "lamb", "rmsprop"})
"""Optimizers that take them in Paddle's dialects."""


def takes_sparse(spec: OptimizerSpec) -> bool:
    """Return whether *spec* takes row-sparse gradients."""
    if isinstance(spec.clip, ClipAdaptive):
        return False
    in_paddle = spec.paddle and spec.kind in TAKES_SPARSE_IN_PADDLE
    return spec.kind in TAKES_SPARSE or in_paddle
