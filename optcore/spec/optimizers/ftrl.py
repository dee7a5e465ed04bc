"""Optimizers that can make parameters exactly 0: FTRL and the proximal optimizers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.base import OptimizerSpec


class Ftrl(OptimizerSpec):
    """
    Follow the regularized leader: minimize the regularized sum of all linearized losses so far.

    ::

        n' = n + g * g
        z  = z + g + 2 * l2_shrinkage * p - (n' ** -lr_power - n ** -lr_power) / lr * p
        p  = (clamp(z, -l1_strength, l1_strength) - z)
             / ((n' ** -lr_power + beta) / lr + 2 * l2_strength)
        n  = n'

    n is the sum of squared gradients before the update, and n' is the sum after it. z is the linear
    term of the sum that p minimizes.

    MindSpore's CPU kernel adds l1 with the wrong sign where z is negative. This optimizer follows
    MindSpore's documentation instead.

    References:
        McMahan et al., Ad Click Prediction: a View from the Trenches, 2013, Algorithm 1.
        https://research.google/pubs/pub41159/
        keras.optimizers.Ftrl, mindspore.nn.FTRL, tf.compat.v1.train.FtrlOptimizer.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("keras", "mindspore", "tf1")
    FLOAT32_IN: ClassVar = {"keras": frozenset({"initial_accumulator_value"})}

    kind: Literal["ftrl"]
    dialect: Dialect = "keras"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = per_dialect({"keras": 1e-3, "mindspore": 1e-3, "tf1": None}, gt=0)
    """Learning rate."""
    lr_power: float = Field(-0.5, le=0)
    """Exponent with which lr falls as n grows; 0 for an lr that does not fall."""
    initial_accumulator_value: float = Field(0.1, ge=0)
    """Value of n before the first update."""
    l1_strength: float = Field(0.0, ge=0)
    """L1 regularization, as a term of the function that p minimizes."""
    l2_strength: float = Field(0.0, ge=0)
    """L2 regularization, as a term of the function that p minimizes."""
    l2_shrinkage: float = per_dialect({"keras": 0.0, "tf1": 0.0}, ge=0)
    """L2 regularization that is added to the gradient in z, but not in n."""
    beta: float = per_dialect({"keras": 0.0, "tf1": 0.0}, ge=0)
    """The paper's beta, which keeps the first steps small."""


class ProximalSgd(OptimizerSpec):
    """
    Gradient descent whose step ends with a proximal step, which shrinks parameters towards 0.

    ::

        q = p - lr * g
        p = sign(q) * max(|q| - lr * l1_strength, 0) / (1 + lr * l2_strength)

    References:
        Duchi and Singer, Efficient Online and Batch Learning using Forward Backward Splitting,
        2009. https://jmlr.org/papers/v10/duchi09a.html
        tf.compat.v1.train.ProximalGradientDescentOptimizer.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("article", "tf1")
    STATE_BYTES: ClassVar[str] = "0"

    kind: Literal["proximal_sgd"]
    dialect: Dialect = "article"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = per_dialect({"article": 0.01, "tf1": None}, gt=0)
    """Learning rate."""
    l1_strength: float = Field(0.0, ge=0)
    """L1 regularization, applied by the proximal step."""
    l2_strength: float = Field(0.0, ge=0)
    """L2 regularization, applied by the proximal step."""


class ProximalAdagrad(OptimizerSpec):
    """
    AdaGrad whose step ends with a proximal step, which shrinks parameters towards 0.

    ::

        h   = h + g * g
        eta = lr / sqrt(h)
        q   = p - eta * g
        p   = sign(q) * max(|q| - eta * l1_strength, 0) / (1 + eta * l2_strength)

    References:
        Duchi and Singer, Efficient Online and Batch Learning using Forward Backward Splitting,
        2009. https://jmlr.org/papers/v10/duchi09a.html
        mindspore.nn.ProximalAdagrad, tf.compat.v1.train.ProximalAdagradOptimizer.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("mindspore", "tf1")
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["proximal_adagrad"]
    dialect: Dialect = "mindspore"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = per_dialect({"mindspore": 1e-3, "tf1": None}, gt=0)
    """Learning rate."""
    # Above 0: without an eps, a gradient of 0 would be multiplied by infinity.
    initial_accumulator_value: float = Field(0.1, gt=0)
    """Value of h before the first update."""
    l1_strength: float = Field(0.0, ge=0)
    """L1 regularization, applied by the proximal step."""
    l2_strength: float = Field(0.0, ge=0)
    """L2 regularization, applied by the proximal step."""
