"""The Lion optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.state_bits import StateBitsSpec


class Lion(StateBitsSpec):
    """
    Steps of the size lr in every coordinate, against the sign of a running mean of the gradients.

    ::

        p = p - lr * weight_decay * p
        p = p - lr * sign(beta1 * m + (1 - beta1) * g)
        m = beta2 * m + (1 - beta2) * g

    Apart from the decay, each coordinate moves by exactly lr. So lr should be 3 to 10 times smaller
    than for AdamW, and weight_decay 3 to 10 times larger.

    In dialect bitsandbytes, a state_bits of 8 stores m in 8 bits per element, like the m of adamw.
    bfloat16 parameters then move by lr rounded to bfloat16, as in the CUDA kernel.

    If the state has 32 bits, bitsandbytes releases before July 2026 add the decay to the gradient.
    This optimizer does not.

    References:
        Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, Algorithm 2.
        https://arxiv.org/abs/2302.06675
        keras.optimizers.Lion, optax.lion; timm 1.0.31: lion, lionc, clion, clionc.
        MindSpore has no Lion: dialect mindspore is the class of mindcv 0.5 and mindocr 0.4.
        bitsandbytes 0.50.2: Lion, Lion8bit, PagedLion and similar names.
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, 2022.
        https://arxiv.org/abs/2110.02861
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = (
        *("article", "mindspore", "keras", "optax", "timm", "bitsandbytes"),
    )

    FLOAT32_IN: ClassVar = {"keras": frozenset({"beta1", "beta2"})}
    STATE_BYTES: ClassVar[str] = "4; 1.02 with state_bits 8"
    ROUNDS_LR: ClassVar[bool] = True

    kind: Literal["lion"]
    dialect: Dialect = "article"
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = per_dialect(
        {
            "article": 1e-4,
            "mindspore": 2e-4,
            "keras": 1e-3,
            "optax": None,
            "timm": 1e-4,
            "bitsandbytes": 1e-4,
        },
        gt=0,
    )
    """Learning rate: the step of every coordinate."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Share of the old mean in the direction of the step."""
    beta2: float = Field(0.99, ge=0, lt=1)
    """Share of the old mean that is kept."""
    weight_decay: float = per_dialect(
        {
            "article": 0.0,
            "mindspore": 0.0,
            "keras": 0.0,
            "optax": 1e-3,
            "timm": 0.0,
            "bitsandbytes": 0.0,
        },
        ge=0,
    )
    """Weight decay, which is multiplied by lr where it is decoupled."""
    decoupled_weight_decay: bool = True
    """Whether weight_decay shrinks p, instead of being added to the gradient."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags that select how the means are rounded, which may decide a sign."""
        return {
            "as_lerp": self.dialect == "timm",
            "as_products": self.dialect == "mindspore",
        }
