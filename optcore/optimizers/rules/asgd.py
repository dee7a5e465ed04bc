"""ASGD: averages parameters over updates."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule, zeros


def asgd(
    param: Tensor,
    grad: Tensor,
    ax: Tensor,
    *,
    eta: float,
    keep: float,
    mu: float,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and its average *ax* after one step of averaged gradient descent.

    ::

        param = param * keep - eta * grad
        ax    = ax + (param - ax) * mu

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        ax: same shape as *param*; the average so far.
        eta: lr / (1 + lambd * lr * (t - 1)) ** alpha, with the lr of the previous update. lambd,
            alpha and t0 are hyperparameters.
        keep: 1 - lambd * eta.
        mu: 1 / max(1, t - 1 - t0). If mu is 1, the average is param itself.

    References:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
        torch.optim.ASGD, mindspore.nn.ASGD.
    """
    param = torch.add(param * keep, grad, alpha=-eta)
    # With mu = 1, lerp returns param bit for bit; in this case torch copies param.
    return param, torch.lerp(ax, param, mu)


def _next_eta(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    """Return the step size of update t + 1, which torch computes from the lr of update t."""
    lr, lambd = numbers["lr"], numbers["lambd"]
    # A float32 whatever the tensors are: torch keeps eta as a float32 tensor.
    return {"eta": float(np.float32(lr / (1 + lambd * lr * t) ** numbers["alpha"]))}


def _falling(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    mu = 1 / max(1.0, t - 1 - numbers["t0"])
    if flags["in_float32"]:
        mu = float(np.float32(mu))
    return {"keep": 1 - numbers["lambd"] * numbers["eta"], "mu": mu}


def _torch_state(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    # torch computes mu for the next update at the end of this one. mu does not depend on eta.
    return {"mu": _falling(t + 1, {**numbers, "eta": 0.0}, flags)["mu"]}


ASGD = Rule(
    "asgd",
    asgd,
    slots=zeros("ax"),
    scalars=_falling,
    carries=_next_eta,
    torch_state=_torch_state,
    evaluated=lambda param, ax, *carried, **numbers: ax,
)
