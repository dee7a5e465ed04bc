"""Adam and what differs from it by decay: AdamW, MindSpore's AdamWeightDecay, row-sparse Adam."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.base import OptimizerSpec

# They compute the formula that the paper gives just before its section 2.1.
EPS_HAT: frozenset[Dialect] = frozenset({"mindspore", "keras", "tf1", "article"})
"""Dialects whose eps is not scaled with the bias correction."""


class AdamSpec(OptimizerSpec):
    """What the optimizers with Adam's two means share."""

    BIAS_IN_DOUBLE: ClassVar[frozenset[str]] = frozenset({"beta1", "beta2", "eps"})

    beta1: float = Field(0.9, ge=0, lt=1)
    """Share of the old mean gradient that is kept."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Share of the old mean square that is kept."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return which eps is meant, and how the powers of the betas are computed."""
        # TF1 and MindSpore keep the powers in float32 whatever the parameters, Paddle in their
        # dtype.
        product = self.dialect in ("tf1", "mindspore") or (single_precision and self.paddle)
        return {
            "eps_hat": self.dialect in EPS_HAT,
            "float32_products": product,
            "float32_powers": single_precision and self.dialect == "keras",
            "float32_bases": self.dialect == "keras",
        }


class Adam(AdamSpec):
    """
    Momentum and RMSprop together, corrected for their start at 0.

    ::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        s = v                                   amsgrad: s = max(s, v)
        n = m                                   nesterov: n = beta1 * m + (1 - beta1) * g
        c1 = 1 - beta1 ** t
        c2 = 1 - beta2 ** t

        torch, paddle                              elsewhere
        p = p - lr * (n/c1) / (sqrt(s/c2) + eps)   p = p - lr * sqrt(c2)/c1 * n / (sqrt(s) + eps)

    The eps on the right is the paper's "epsilon hat": at t = 1 and beta2 = 0.999 it weighs 31.6
    times as much as torch's. In float32 Paddle and MindSpore keep beta1 ** t and beta2 ** t as
    running float32 products, which moves a trajectory by 6e-4 within 20 steps.

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, Algorithm 1.
        https://arxiv.org/abs/1412.6980
        Reddi, Kale and Kumar, On the Convergence of Adam and Beyond, 2018, Algorithm 2 (amsgrad).
        https://arxiv.org/abs/1904.09237
        torch.optim.Adam, paddle.optimizer.Adam, mindspore.nn.Adam, keras.optimizers.Adam,
        tf.compat.v1.train.AdamOptimizer.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
        "article",
    )
    # Paddle's formula is the kernel's too, but its float32 products of the betas are not.
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch"})
    STATE_BYTES: ClassVar[str] = "8; 12 with amsgrad"

    kind: Literal["adam"]
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = per_dialect(
        {
            "torch": 1e-8,
            "paddle": 1e-8,
            "paddleocr": 1e-8,
            "mindspore": 1e-8,
            "keras": 1e-7,
            "tf1": 1e-8,
            "article": 1e-7,
        },
        ge=0,
    )
    """Keeps the denominator away from 0."""
    # TF1's Adam has none, and PaddleOCR's does not pass it on to Paddle's.
    amsgrad: bool = per_dialect(
        {"torch": False, "paddle": False, "mindspore": False, "keras": False}
    )
    """Divide by the largest v so far."""
    nesterov: bool = per_dialect({"mindspore": False})
    """Look ahead: mix the gradient into the corrected mean once more."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return also whether the largest v counts and whether to look ahead."""
        return {
            **super().flags(single_precision=single_precision),
            "amsgrad": self.amsgrad,
            "nesterov": self.nesterov,
        }


class AdamW(AdamSpec):
    """
    Adam whose weight decay acts on the parameters themselves.

    ::

        p = p - lr * weight_decay * p
        p = Adam's step, without weight decay in g

    References:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, Algorithm 2.
        https://arxiv.org/abs/1711.05101
        torch.optim.AdamW, paddle.optimizer.AdamW, keras.optimizers.AdamW (epsilon hat).
        MindSpore's AdamWeightDecay is another optimizer: adam_weight_decay.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch", "paddle", "paddleocr", "keras")
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch"})
    # Paddle's kernel has its `coeff` as a C++ float, betas and eps as Scalars.
    FLOAT32_IN: ClassVar = {
        "paddle": frozenset({"weight_decay"}),
        "paddleocr": frozenset({"weight_decay"}),
    }
    STATE_BYTES: ClassVar[str] = "8; 12 with amsgrad"

    kind: Literal["adamw"]
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = per_dialect(
        {"torch": 1e-8, "paddle": 1e-8, "paddleocr": 1e-8, "keras": 1e-7}, ge=0
    )
    """Keeps the denominator away from 0."""
    # PaddleOCR replaces null by 0.01 itself.
    weight_decay: float = per_dialect(
        {"torch": 0.01, "paddle": 0.01, "paddleocr": 0.01, "keras": 0.004}, ge=0
    )
    """Decoupled, so it is multiplied by lr."""
    decoupled_weight_decay: Literal[True] = True
    """Always, for this optimizer."""
    amsgrad: bool = per_dialect({"torch": False, "paddle": False, "keras": False})
    """Divide by the largest v so far."""
    no_weight_decay_name: str = per_dialect({"paddleocr": ""}, max_length=1000)
    """Parts of parameter names, separated by blanks: such parameters are not decayed."""
    one_dim_param_no_weight_decay: bool = per_dialect({"paddleocr": False})
    """Whether parameters of one dimension are left undecayed."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return also whether the largest v counts."""
        return {
            **super().flags(single_precision=single_precision),
            "amsgrad": self.amsgrad,
            "nesterov": False,
        }


class AdamWeightDecay(AdamSpec):
    """
    Adam without bias correction, with decoupled decay (what BERT was trained with).

    ::

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        p = p - lr * (m / (sqrt(v) + eps) + weight_decay * p)

    References:
        mindspore.nn.AdamWeightDecay; AdamWeightDecayOptimizer of google-research/bert.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("mindspore",)

    kind: Literal["adam_weight_decay"]
    dialect: Dialect = "mindspore"
    """Whose math, defaults and rounding."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = Field(1e-6, ge=0)
    """Keeps the denominator away from 0."""
    decoupled_weight_decay: Literal[True] = True
    """Always, for this optimizer."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return that nothing is corrected."""
        return {}


class LazyAdam(AdamSpec):
    """
    Adam that leaves rows without a gradient alone, moments included.

    ::

        rows with a gradient       Adam's update of p, m and v
        rows without               p = p, m = m, v = v

    For row-sparse gradients (an Embedding with ``sparse=True``) Adam's update is made on the
    rows that are there; the others do not even decay. With dense gradients it is Adam.
    Paddle's bias correction is one update ahead here: its first step uses t = 2.

    References:
        torch.optim.SparseAdam, paddle.optimizer.Adam(lazy_mode=True), mindspore.nn.LazyAdam,
        tf.contrib.opt.LazyAdamOptimizer.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch", "paddle", "mindspore")

    kind: Literal["lazy_adam"]
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = Field(1e-8, ge=0)
    """Keeps the denominator away from 0."""
    nesterov: bool = per_dialect({"mindspore": False})
    """Look ahead: mix the gradient into the corrected mean once more."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return Adam's flags; torch's SparseAdam has epsilon hat."""
        return {
            **super().flags(single_precision=single_precision),
            "eps_hat": not self.paddle,
            "amsgrad": False,
            "nesterov": self.nesterov,
        }
