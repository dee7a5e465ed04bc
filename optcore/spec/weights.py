"""Copies of the trained weights: their moving average, and the slow weights of lookahead."""

from __future__ import annotations

from pydantic import Field

from optcore.spec.base import Spec
from optcore.spec.limits import MAX_COUNT


class Ema(Spec):
    """
    An exponential moving average e of weights and BatchNorm statistics w.

    It is evaluated and saved beside them and does not affect the training. Of parameters in
    less than float32 it averages the values that the network computes with, not their float32
    copies.

    ::

        e = w                            before the first update
        e = d * e + (1 - d) * w          after each
        d = decay                        without warmup
            min(decay, (1 + t) / (10 + t))    with it, after update t

    References:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
        tf.train.ExponentialMovingAverage (warmup is its num_updates).
    """

    decay: float = Field(0.999, ge=0, lt=1)
    """Share of the old average that is kept."""
    warmup: bool = False
    """Whether the decay is smaller at first."""


class Lookahead(Spec):
    """
    Slow weights s that follow the trained weights w; every *every* updates w is set to s.

    ::

        s = s + alpha * (w - s)
        w = s

    The trained weights are evaluated and saved; they equal the slow ones after each such update.
    The paper returns the slow ones.

    References:
        Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, 2019, Algorithm 1.
        https://arxiv.org/abs/1907.08610
    """

    every: int = Field(5, ge=1, le=MAX_COUNT, json_schema_extra={"unit": "steps"})
    """Updates from one setting of the weights to the next (the paper's k)."""
    alpha: float = Field(0.5, gt=0, le=1)
    """Share of the distance to the trained weights that the slow ones move."""
