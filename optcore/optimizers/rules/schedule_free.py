"""Schedule-free AdamW and SGD: an average of the iterates takes the place of an lr schedule."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from optcore.optimizers.rules.powers import Running, power
from optcore.optimizers.rules.rule import COPY, Flags, Numbers, Rule


def schedule_free_adamw(
    param: Tensor,
    grad: Tensor,
    z: Tensor,
    exp_avg_sq: Tensor,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: float,
    share: float,
    correction2: float,
    late_z: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param* (the paper's y), *z* and *exp_avg_sq* after one schedule-free update.

    Writing v for exp_avg_sq, e for step and w for share::

        v     = beta2 * v + (1 - beta2) * grad * grad
        u     = grad / (sqrt(v / correction2) + eps) + weight_decay * param
        param = (1 - w) * param + w * z - e * (1 - beta1 * (1 - w)) * u
        z     = z - e * u

    With *late_z*, z is updated first, and then param = (1 - w) * param + w * z.

    Args:
        param: any shape and float dtype; a point between z and the average.
        grad: same shape and dtype as *param*; the gradient at *param*.
        z: same shape as *param*; a copy of *param* before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        beta1: position of param between z (0) and the average (1), in (0, 1].
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        weight_decay: coefficient of param in u; the decay does not enter exp_avg_sq.
        step: learning rate of this update: lr, or a fraction of lr during the warmup.
        share: weight of the new z in the average.
        correction2: 1 - beta2 ** t.
        late_z: whether param is computed from the updated z, as in Keras.

    References:
        Defazio et al., The Road Less Scheduled, 2024, Algorithm 1.
        https://arxiv.org/abs/2405.15682
    """
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    direction = grad / ((exp_avg_sq / correction2).sqrt() + eps)
    if weight_decay:
        direction = torch.add(direction, param, alpha=weight_decay)
    if late_z:
        z = torch.add(z, direction, alpha=-step)
        return torch.lerp(param, z, share), z, exp_avg_sq
    # Before z is updated: this formula takes the old z, which a program overwrites with the new z.
    param = torch.lerp(param, z, share)
    param = torch.add(param, direction, alpha=-step * (1 - beta1 * (1 - share)))
    return param, torch.add(z, direction, alpha=-step), exp_avg_sq


def schedule_free_sgd(
    param: Tensor,
    grad: Tensor,
    z: Tensor,
    *,
    beta1: float,
    weight_decay: float,
    step: float,
    share: float,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* (the paper's y) and *z* after one schedule-free update of gradient descent.

    Writing e for step and w for share::

        u     = grad + weight_decay * param
        param = (1 - w) * param + w * z - e * (1 - beta1 * (1 - w)) * u
        z     = z - e * u

    Args:
        param: any shape and float dtype; a point between z and the average.
        grad: same shape and dtype as *param*; the gradient at *param*.
        z: same shape as *param*; a copy of *param* before the first step.
        beta1: position of param between z (0) and the average (1), in (0, 1].
        weight_decay: coefficient of the L2 regularization of param.
        step: learning rate of this update: lr, or a fraction of lr during the warmup.
        share: weight of the new z in the average.

    References:
        Defazio et al., The Road Less Scheduled, 2024, section 2. https://arxiv.org/abs/2405.15682
    """
    direction = torch.add(grad, param, alpha=weight_decay) if weight_decay else grad
    param = torch.lerp(param, z, share)
    param = torch.add(param, direction, alpha=-step * (1 - beta1 * (1 - share)))
    return param, torch.add(z, direction, alpha=-step)


def averaged(param: Tensor, z: Tensor, *slots: Tensor, **numbers: float) -> Tensor:
    """Return x = (param - (1 - beta1) * z) / beta1, the value of *param* to use in evaluation."""
    return torch.lerp(z, param, 1 / numbers["beta1"])


def weight(t: int, warmup_steps: float, r: float, weight_lr_power: float) -> float:
    """Return the unnormalized weight of z in the average after update *t* at a constant lr."""
    return float(t**r * warmed(t, warmup_steps) ** weight_lr_power)


def warmed(t: int, warmup_steps: float) -> float:
    """Return the fraction of lr that update *t* uses; it is below 1 during the warmup."""
    return min(1.0, t / warmup_steps) if warmup_steps else 1.0


def optax_lr(count: int, lr: float, warmup_steps: float) -> float:
    """Return the lr of optax after *count* updates. With a warmup, it is rounded to float32."""
    if not warmup_steps:
        return lr
    number = np.float32
    left = number(1) - number(min(count, warmup_steps)) / number(warmup_steps)
    return float(number(-lr) * left + number(lr))


def optax_weight(t: int, lr: float, warmup_steps: float, weight_lr_power: float) -> float:
    """Return the `weight` that optax computes, which also depends on *lr*."""
    return float(optax_lr(t, lr, warmup_steps) ** weight_lr_power)


_constant_optax_weights = Running(optax_weight, product=False)
_constant_weights = Running(weight, product=False)


def _weights(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    """
    Return the sum of the weights of updates 1 to *t*, and the numbers that the next sum needs.

    In the article, the weight of update t is t ** r * (the highest lr so far) ** weight_lr_power,
    with the hyperparameters r and weight_lr_power. Here each lr is first divided by weight_lr, the
    first lr that is not 0. So for a constant lr, the results equal those of the function `weight`
    to the last bit.
    """
    if flags.get("late_z"):  # all weights are equal in Keras
        return {}
    if flags["late_lr"]:
        return _optax_weights(t, numbers)
    power = numbers["weight_lr_power"]
    if t == 0:
        return {"weight_sum": 0.0, "weight_max": 0.0, "weight_lr": 0.0, "weight_power": power}
    lr, unit = numbers["lr"], numbers["weight_lr"] or numbers["lr"]
    now = lr / unit * warmed(t, numbers["warmup_steps"]) if unit else 0.0
    highest, total = max(numbers["weight_max"], now), numbers["weight_sum"]
    if power != numbers["weight_power"] and unit:
        total *= unit ** (numbers["weight_power"] - power)
    return {
        "weight_sum": total + float(t ** numbers["r"] * highest**power),
        "weight_max": highest,
        "weight_lr": unit,
        "weight_power": power,
    }


def _optax_weights(t: int, numbers: Numbers) -> dict[str, float]:
    if t == 0:
        return {"weight_sum": 0.0, "max_lr": 0.0}
    now = optax_lr(t, numbers["next_lr"], numbers["warmup_steps"])
    highest = max(numbers["max_lr"], now)
    weight = float(highest ** numbers["weight_lr_power"])
    return {"weight_sum": numbers["weight_sum"] + weight, "max_lr": highest}


def _implied_weights(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    warmup, power = numbers["warmup_steps"], numbers["weight_lr_power"]
    if flags["late_lr"]:
        lr = numbers["next_lr"]  # lr too, unless the only update is before a change of lr
        total = _constant_optax_weights(t, lr, warmup, power)
        return {"weight_sum": total, "max_lr": optax_lr(t, lr, warmup)}
    if numbers["lr"]:
        total = _constant_weights(t, warmup, numbers["r"], power)
    else:  # as in the first update of a warmup: all weights are t ** r * 0 ** power
        total = 0.0**power * _constant_weights(t, 0.0, numbers["r"], 0.0)
    return {
        "weight_sum": total,
        "weight_max": warmed(t, warmup) if numbers["lr"] else 0.0,
        "weight_lr": numbers["lr"],
        "weight_power": power,
    }


def _share(t: int, numbers: Numbers, flags: Flags) -> float:
    """Return the weight of the new z in the average: its share in the sum of all weights."""
    if flags.get("late_z"):
        return 1 / t
    after = _weights(t, numbers, flags)
    power = numbers["weight_lr_power"]
    if flags["late_lr"]:
        weight = float(after["max_lr"] ** power)
    else:
        weight = float(t ** numbers["r"] * after["weight_max"] ** power)
    # While lr is 0, so are the weights, and z stays where it is.
    return weight / after["weight_sum"] if after["weight_sum"] else 0.0


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"z": COPY, "exp_avg_sq": 0.0}


def _only_z(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"z": COPY}


def _steps(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    lr, warmup_steps = numbers["lr"], numbers["warmup_steps"]
    # In optax z steps with the lr of the update before, and has the weight of the next lr.
    step = optax_lr(t - 1, lr, warmup_steps) if flags["late_lr"] else lr * warmed(t, warmup_steps)
    return {"step": step, "share": _share(t, numbers, flags)}


def _scalars(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    correction2 = 1 - power(numbers["beta2"], t, flags)
    return {**_steps(t, numbers, flags), "correction2": correction2}


CARRIED_FROM = ("lr", "next_lr", "warmup_steps", "r", "weight_lr_power")
"""What the weights of an average depend on."""

SCHEDULE_FREE_ADAMW = Rule(
    "schedule_free_adamw",
    schedule_free_adamw,
    slots=_slots,
    scalars=_scalars,
    carries=_weights,
    carries_in=torch.float64,
    carries_from=CARRIED_FROM,
    implied=_implied_weights,
    takes_next_lr=True,
    own_decay=True,
    evaluated=averaged,
)
SCHEDULE_FREE_SGD = Rule(
    "schedule_free_sgd",
    schedule_free_sgd,
    slots=_only_z,
    scalars=_steps,
    carries=_weights,
    carries_in=torch.float64,
    carries_from=CARRIED_FROM,
    implied=_implied_weights,
    takes_next_lr=True,
    own_decay=True,
    evaluated=averaged,
)
