"""Adam and its variants: AdamW, MindSpore's AdamWeightDecay, and Adam for row-sparse gradients."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.cautious import CautiousSpec
from optcore.spec.optimizers.state_bits import StateBitsSpec

# These dialects compute the formula that the paper gives just before its section 2.1.
EPS_HAT: frozenset[Dialect] = frozenset({"mindspore", "keras", "tf1", "article"})
"""Dialects whose eps is the paper's "epsilon hat", which the bias correction does not scale."""


class AdamSpec(OptimizerSpec):
    """The base of the optimizers that have Adam's hyperparameters beta1 and beta2."""

    BIAS_IN_DOUBLE: ClassVar[frozenset[str]] = frozenset({"beta1", "beta2", "eps"})

    beta1: float = Field(0.9, ge=0, lt=1)
    """Share of the old mean of the gradient that is kept."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Share of the old mean of the squared gradient that is kept."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the form of eps, and for how powers of the betas are rounded."""
        # TF1 and MindSpore keep the powers in float32 for parameters of any dtype, Paddle in the
        # dtype of the parameters.
        product = self.dialect in ("tf1", "mindspore") or (single_precision and self.paddle)
        return {
            "eps_hat": self.dialect in EPS_HAT,
            "float32_products": product,
            # MindSpore's betas are constant, and so is the product's base.
            "running_powers": self.paddle or self.dialect == "tf1",
            "float32_powers": single_precision and self.dialect == "keras",
            "float32_squares": single_precision and self.dialect == "optax",
            "float32_bases": self.dialect == "keras",
            "plain": self.dialect == "bitsandbytes",
        }


class Adam(CautiousSpec, AdamSpec):
    """
    Momentum and RMSprop combined, with both running means corrected for their start at 0.

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

        optax
        s = v/c2                                   amsgrad: s = max(s, v/c2)
        p = p - lr * (m/c1) / (sqrt(s + eps_root) + eps)

    The eps in the formula on the right is the paper's "epsilon hat". At t = 1 and beta2 = 0.999 it
    weighs 31.6 times as much as torch's eps.

    In float32, Paddle and MindSpore keep beta1 ** t and beta2 ** t as running float32 products.
    This rounding changes the parameters by 6e-4 within 20 updates.

    If a beta has a schedule, the dialects differ in the number that takes the place of beta ** t.
    Writing b(i) for the beta of update i, the number in update t is:

    ::

        paddle, tf1    b(1) * b(1) * b(2) * ... * b(t - 1)     multiplied after each update
        elsewhere      b(t) ** t

    In Paddle, adamw, adamax, lamb and lazy_adam do the same as adam. Paddle's radam and nadam
    multiply before each update, so their number is b(1) * b(2) * ... * b(t). MindSpore itself has
    no schedules of betas.

    (In Paddle, the power of a beta that is a Tensor begins with 0.9 or 0.999, whatever the value of
    the beta. Here it begins with the value, as Paddle documents.)

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, Algorithm 1.
        https://arxiv.org/abs/1412.6980
        Reddi, Kale and Kumar, On the Convergence of Adam and Beyond, 2018, Algorithm 2 (amsgrad).
        https://arxiv.org/abs/1904.09237
        torch.optim.Adam, paddle.optimizer.Adam, mindspore.nn.Adam, keras.optimizers.Adam,
        tf.compat.v1.train.AdamOptimizer, optax.adam, optax.amsgrad (amsgrad). optax.nadam and
        optax.adam(nesterov=True) are nadam here.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "tf1",
        "article",
        "optax",
    )
    ELSEWHERE: ClassVar = {
        "timm": "; timm's adam is torch's: use dialect torch",
        "bitsandbytes": "; its Adam decays as AdamW does: use adamw with a weight_decay of 0",
    }
    # Paddle has the kernel's formula, but keeps the powers of the betas as float32 products.
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch"})
    STATE_BYTES: ClassVar[str] = "8; 12 with amsgrad"
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"eps_root"})

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
            "optax": 1e-8,
        },
        ge=0,
    )
    """Keeps the denominator away from 0."""
    eps_root: float = per_dialect({"optax": 0.0}, ge=0)
    """Added under the root, to keep the mean square away from 0."""
    # TF1's Adam has no amsgrad, and PaddleOCR's does not pass it on to Paddle's.
    amsgrad: bool = per_dialect(
        {"torch": False, "paddle": False, "mindspore": False, "keras": False, "optax": False}
    )
    """Whether to divide by the largest v so far; in optax by the largest v/c2."""
    nesterov: bool = per_dialect({"mindspore": False})
    """Whether to look ahead, by mixing the gradient into the mean once more (n above)."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags of `AdamSpec`, and amsgrad, nesterov and corrected_maximum."""
        return {
            **super().flags(single_precision=single_precision),
            "amsgrad": self.amsgrad,
            "nesterov": self.nesterov,
            "corrected_maximum": self.dialect == "optax",
        }


class AdamW(StateBitsSpec, AdamSpec):
    """
    Adam whose weight decay is applied to the parameters, not to the gradient.

    ::

        p = p - lr * weight_decay * p
        p = Adam's step, without weight decay in g

    With nesterov, this is timm's nadamw, which corrects the bias of m as Adam does. The optimizer
    nadam is a different one: the share of its momentum rises with t.

    In dialect bitsandbytes, a state_bits of 8 stores m and v in 8 bits per element, if the
    parameter has 4096 elements or more. The elements form blocks of 256. Each block stores the
    largest absolute value of its elements, and each element stores the 8-bit index (code) of a
    number in a fixed map. For m:

    ::

        m = map[code] * largest                                       before the update
        largest = max(abs(m)) over the block                          after the update
        code = index of the number in map nearest to m / largest      after the update

    A map has 256 numbers: 0, 1, and those of seven ranges, numbered e = 0 to 6. For range e, the
    interval from 0.1 to 1 is divided into equal parts, and the middle of each part is multiplied by
    10 ** (e - 6). The map of m has 2 ** e parts in range e, and each of their numbers with both
    signs. The map of v, which is never negative, has 2 ** (e + 1) parts in range e.

    With backend cuda, p decays after the step, as in the CUDA kernels of bitsandbytes. On a GPU
    those kernels also divide and take powers with fewer digits, and skip elements whose gradient is
    not finite. Both are different here: all digits are kept, and such elements become NaN.

    References:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, Algorithm 2.
        https://arxiv.org/abs/1711.05101
        torch.optim.AdamW, paddle.optimizer.AdamW, keras.optimizers.AdamW (epsilon hat).
        optax.adamw; optax.adamw(nesterov=True) is nadam here, with decoupled_weight_decay.
        timm 1.0.31: adamw, adamwlegacy, nadamw; adamc, cadamw, cnadamw and similar names.
        Dialect mindspore is the class AdamW of mindcv 0.5 and mindocr 0.4, whose powers of the
        betas are running float32 products. MindSpore's own AdamWeightDecay is a different
        optimizer, adam_weight_decay; mindspore.experimental.optim.AdamW is torch's.
        bitsandbytes 0.50.2: AdamW, AdamW8bit, PagedAdamW and similar names; its Adam is its AdamW,
        with a weight_decay of 0 by default.
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, 2022.
        https://arxiv.org/abs/2110.02861
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = (
        "torch",
        "paddle",
        "paddleocr",
        "mindspore",
        "keras",
        "optax",
        "timm",
        "bitsandbytes",
    )
    FUSED_IN: ClassVar[frozenset[Dialect]] = frozenset({"torch", "timm"})
    FUSED_DECAY: ClassVar[bool] = True
    # Paddle's kernel takes its `coeff` as a C++ float, betas and eps as Scalars.
    FLOAT32_IN: ClassVar = {
        "paddle": frozenset({"weight_decay"}),
        "paddleocr": frozenset({"weight_decay"}),
    }
    STATE_BYTES: ClassVar[str] = "8; 12 with amsgrad; 2.03 with state_bits 8"
    DECAYS_LAST: ClassVar[bool] = True
    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"eps_root"})

    kind: Literal["adamw"]
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = per_dialect(
        {
            "torch": 1e-8,
            "paddle": 1e-8,
            "paddleocr": 1e-8,
            "mindspore": 1e-8,
            "keras": 1e-7,
            "optax": 1e-8,
            "timm": 1e-8,
            "bitsandbytes": 1e-8,
        },
        ge=0,
    )
    """Keeps the denominator away from 0."""
    eps_root: float = per_dialect({"optax": 0.0}, ge=0)
    """Added under the root, to keep the mean square away from 0."""
    # PaddleOCR replaces null by 0.01 itself.
    weight_decay: float = per_dialect(
        {
            "torch": 0.01,
            "paddle": 0.01,
            "paddleocr": 0.01,
            "mindspore": 0.0,
            "keras": 0.004,
            "optax": 1e-4,
            "timm": 0.0,
            "bitsandbytes": 0.01,
        },
        ge=0,
    )
    """Decoupled weight decay, which is multiplied by lr."""
    decoupled_weight_decay: Literal[True] = True
    """Always true for this optimizer."""
    amsgrad: bool = per_dialect({"torch": False, "paddle": False, "keras": False, "timm": False})
    """Whether to divide by the largest v so far."""
    nesterov: bool = per_dialect({"timm": False})
    """Whether to look ahead, by mixing the gradient into the mean once more, as in adam."""
    no_weight_decay_name: str = per_dialect({"paddleocr": ""}, max_length=1000)
    """Strings separated by blanks; parameters whose names contain one of them are not decayed."""
    one_dim_param_no_weight_decay: bool = per_dialect({"paddleocr": False})
    """Whether parameters with one dimension are exempt from weight decay."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags of `AdamSpec`, and amsgrad, nesterov and corrected_maximum."""
        return {
            **super().flags(single_precision=single_precision),
            # The class of mindcv corrects v, and adds eps to the root of that.
            "eps_hat": self.dialect in EPS_HAT - {"mindspore"},
            "amsgrad": self.amsgrad,
            "nesterov": self.nesterov,
            "corrected_maximum": False,
            "float32_powers": single_precision and (self.as_cuda or self.dialect == "keras"),
        }


class AdamWeightDecay(CautiousSpec, AdamSpec):
    """
    Adam without bias correction and with decoupled weight decay, as used to train BERT.

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
    """Framework (or article) whose math, defaults and rounding the optimizer follows."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate."""
    eps: float = Field(1e-6, ge=0)
    """Keeps the denominator away from 0."""
    decoupled_weight_decay: Literal[True] = True
    """Always true for this optimizer."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return no flags, since there is no bias correction."""
        return {}


class LazyAdam(AdamSpec):
    """
    Adam for row-sparse gradients: rows without a gradient keep their values and their moments.

    ::

        rows with a gradient       Adam's update of p, m and v
        rows without a gradient    p = p, m = m, v = v

    A row-sparse gradient, such as that of an Embedding with ``sparse=True``, contains only some
    rows. The other rows are not updated, and do not decay either. With dense gradients, the
    optimizer is Adam.

    In Paddle, the bias correction of this optimizer is one update ahead: the first update uses
    t = 2.

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
    """Whether to look ahead, by mixing the gradient into the mean once more, as in adam."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return Adam's flags. In torch and MindSpore, eps is the paper's "epsilon hat"."""
        return {
            **super().flags(single_precision=single_precision),
            "eps_hat": not self.paddle,
            "amsgrad": False,
            "nesterov": self.nesterov,
            "corrected_maximum": False,
        }
