"""AdaGrad."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.base import OptimizerSpec


class Adagrad(OptimizerSpec):
    """
    Gradient descent whose step in a coordinate shrinks with the squared gradients seen so far.

    ::

        g = g + weight_decay * p
        h = h + g * g                   starts at initial_accumulator_value

        keras, optax    p = p - lr * g / sqrt(h + eps)
        elsewhere       p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(h) + eps)

    References:
        Duchi, Hazan and Singer, Adaptive Subgradient Methods, 2011, Figure 1.
        https://jmlr.org/papers/v12/duchi11a.html
        torch.optim.Adagrad, paddle.optimizer.Adagrad, mindspore.nn.Adagrad,
        keras.optimizers.Adagrad, tf.compat.v1.train.AdagradOptimizer, optax.adagrad. The kernels of
        MindSpore and TF1 have no eps, so eps is 0 in these dialects. timm's adagrad is torch's,
        with another default eps.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = (
        "torch",
        "paddle",
        "mindspore",
        "keras",
        "tf1",
        "article",
        "timm",
        "optax",
    )
    # The kernel adds eps to the root; Keras adds it under the root.
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch", "paddle", "article", "timm"})
    FLOAT32_IN: ClassVar = {
        "paddle": frozenset({"eps"}),  # a C++ float in its kernel
        "keras": frozenset({"initial_accumulator_value"}),
    }
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["adagrad"]
    lr: float = per_dialect(
        {
            "torch": 0.01,
            "paddle": None,
            "mindspore": 1e-3,
            "keras": 1e-3,
            "tf1": None,
            "article": 0.01,
            "timm": 0.01,
            "optax": None,
        },
        gt=0,
    )
    """Learning rate."""
    eps: float = per_dialect(
        {
            "torch": 1e-10,
            "paddle": 1e-6,
            "keras": 1e-7,
            "article": 1e-7,
            "optax": 1e-7,
            "timm": 1e-8,
        },
        ge=0,
    )
    """Added to the root (in keras and optax, under the root), so that the divisor is not 0."""
    lr_decay: float = per_dialect({"torch": 0.0, "timm": 0.0}, ge=0)
    """Rate at which lr falls with t."""
    initial_accumulator_value: float = per_dialect(
        {
            "torch": 0.0,
            "paddle": 0.0,
            "mindspore": 0.1,
            "keras": 0.1,
            "tf1": 0.1,
            "article": 0.0,
            "timm": 0.0,
            "optax": 0.1,
        },
        ge=0,
    )
    """Value of h before the first update."""
    # MindSpore's CPU kernel ignores it; this optimizer follows MindSpore's documentation.
    update_slots: bool = Field(True)
    """Whether h grows; false keeps h at initial_accumulator_value."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters by name. In a dialect without the field eps, eps is 0."""
        numbers = super().hyperparameters()
        # In such a dialect the field holds torch's 1e-10, the first default (`per_dialect`).
        return numbers if self.has_field("eps") else {**numbers, "eps": 0.0}

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags eps_inside (eps is added under the root) and update_slots (h grows)."""
        return {"eps_inside": self.dialect in ("keras", "optax"), "update_slots": self.update_slots}
