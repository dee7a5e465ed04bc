"""Adam: momentum and RMSprop together, corrected for their start at 0."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from optcore.optimizers.rule import Flags, Numbers, Rule


def adam(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    correction1: float,
    correction2: float,
    eps_hat: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_sq* after one Adam update.

    Writing m for exp_avg, v for exp_avg_sq, c1 and c2 for the corrections::

        grad  = grad + weight_decay * param
        m     = beta1 * m + (1 - beta1) * grad
        v     = beta2 * v + (1 - beta2) * grad * grad
        param = param - lr * (m / c1) / (sqrt(v / c2) + eps)

    computed as lr * sqrt(c2)/c1 * m / (sqrt(v) + eps * sqrt(c2)): the same in one operation
    less per element. With *eps_hat*, eps is not multiplied by sqrt(c2) (the paper's remark
    before section 2.1).

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        weight_decay: L2 regularization, added to the gradient.
        correction1: 1 - beta1 ** t.
        correction2: 1 - beta2 ** t.
        eps_hat: whose eps is meant.

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, Algorithm 1.
        https://arxiv.org/abs/1412.6980
    """
    if weight_decay:
        grad = torch.add(grad, param, alpha=weight_decay)
    root2 = correction2**0.5
    exp_avg = torch.lerp(grad, exp_avg, beta1)
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    denominator = exp_avg_sq.sqrt() + (eps if eps_hat else eps * root2)
    param = torch.addcdiv(param, exp_avg, denominator, value=-lr * root2 / correction1)
    return param, exp_avg, exp_avg_sq


class Float32Power:
    """
    base ** t as a running product in float32, as Paddle's kernels keep it.

    A pure function of base and t; the last product is remembered so that the next one costs
    one multiplication.
    """

    def __init__(self) -> None:
        self._last: dict[float, tuple[int, np.float32]] = {}

    def __call__(self, base: float, t: int) -> float:
        """Return the product of *t* factors *base*, rounded to float32 after each."""
        at, product = self._last.get(base, (0, np.float32(1)))
        if at > t:
            at, product = 0, np.float32(1)
        factor = np.float32(base)
        for _ in range(t - at):
            product = np.float32(product * factor)
        self._last[base] = (t, product)
        return float(product)


_float32_power = Float32Power()


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    del numbers, flags
    return {"exp_avg": 0.0, "exp_avg_sq": 0.0}


def _corrections(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    power = _float32_power if flags["float32_powers"] else pow
    return {
        "correction1": 1 - power(numbers["beta1"], t),
        "correction2": 1 - power(numbers["beta2"], t),
    }


def _fused(
    params: list[Tensor],
    grads: list[Tensor],
    slots: list[list[Tensor]],
    t: int,
    numbers: Numbers,
) -> None:
    steps = torch.full((), float(t), device=params[0].device)
    torch._fused_adam_(
        params,
        grads,
        slots[0],
        slots[1],
        [],
        [steps] * len(params),
        lr=numbers["lr"],
        beta1=numbers["beta1"],
        beta2=numbers["beta2"],
        weight_decay=numbers["weight_decay"],
        eps=numbers["eps"],
        amsgrad=False,
        maximize=False,
    )


ADAM = Rule(
    adam,
    slots=_slots,
    scalars=_corrections,
    fused=_fused,
    torch_hyperparameters={"betas": ("beta1", "beta2")},
)
