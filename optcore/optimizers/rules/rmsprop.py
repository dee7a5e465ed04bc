"""RMSprop: gradients divided by their running root mean square."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule


def rmsprop(
    param: Tensor,
    grad: Tensor,
    square_avg: Tensor,
    *others: Tensor,
    lr: float,
    rho: float,
    eps: float,
    momentum: float,
    correction: float,
    centered: bool,
    velocity: bool,
    eps_inside: bool,
    lr_inside: bool,
    nesterov: bool,
) -> tuple[Tensor, ...]:
    """
    Return *param*, *square_avg* and *others* after one RMSprop update.

    Writing h for square_avg, a for grad_avg and v for momentum_buffer::

        h    = rho * h + (1 - rho) * grad * grad
        a    = rho * a + (1 - rho) * grad                if centered, else 0
        d    = sqrt(h - a * a + eps)                     if eps_inside
               sqrt(h - a * a) + eps                     otherwise

        without velocity          lr outside                  lr inside
        param -= lr * grad / d    v      = momentum * v       v      = momentum * v
                                           + grad / d                  + lr * grad / d
                                  param -= lr * v             param -= v
                                                              param -= momentum * v
                                                                + lr * grad / d   if nesterov

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        square_avg: same shape as *param*; before the first step zeros (MindSpore, TF1: ones), or
            initial_accumulator_value (optax).
        others: grad_avg if *centered*, then momentum_buffer if *velocity*; zeros at first.
        lr: learning rate.
        rho: share of the old mean square that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        momentum: share of the old velocity that is kept, in [0, 1).
        correction: 1 - rho ** t if h and a are divided by this in the formula for d; else 0.
        centered: whether to divide by the standard deviation.
        velocity: whether there is a velocity; false if momentum is 0 and never scheduled.
        eps_inside: whether eps is added under the root (Paddle), or to the root (torch, and the
            dialect ``article``).
        lr_inside: whether the velocity contains lr: the right column (Paddle), not the middle one
            (torch).
        nesterov: whether param moves by momentum * v + lr * grad / d, in place of v (optax).

    References:
        Tieleman and Hinton, Lecture 6.5: RMSProp, 2012.
        Graves, Generating Sequences with Recurrent Neural Networks, 2013, equations 38 to 41
        (centered). https://arxiv.org/abs/1308.0850
    """
    square_avg = torch.addcmul(square_avg * rho, grad, grad, value=1 - rho)
    variance = square_avg / correction if correction else square_avg
    means: tuple[Tensor, ...] = ()
    if centered:
        means = (torch.lerp(grad, others[0], rho),)
        # Where gradients are constant, rounding may make this negative. Its root is then NaN, as
        # in torch at the same update.
        mean = means[0] / correction if correction else means[0]
        variance = torch.addcmul(variance, mean, mean, value=-1)
    root = (variance + eps).sqrt() if eps_inside else variance.sqrt() + eps
    if not velocity:
        return torch.addcdiv(param, grad, root, value=-lr), square_avg, *means
    speed = torch.addcdiv(others[-1] * momentum, grad, root, value=lr if lr_inside else 1)
    if nesterov:
        ahead = torch.addcdiv(torch.add(param, speed, alpha=-momentum), grad, root, value=-lr)
        return ahead, square_avg, *means, speed
    param = torch.add(param, speed, alpha=-1 if lr_inside else -lr)
    return param, square_avg, *means, speed


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    first = 1.0 if flags["from_one"] else numbers.get("initial_accumulator_value", 0.0)
    slots = {"square_avg": first}
    if flags["centered"]:
        slots["grad_avg"] = 0.0
    if flags["velocity"]:
        slots["momentum_buffer"] = 0.0
    return slots


def _correction(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"correction": 1 - numbers["rho"] ** t if flags["bias_correction"] else 0.0}


SLICE = 65_536
"""Number of elements that `_fused` copies at a time: they stay in a core's second-level cache."""


def _fused(
    params: list[Tensor],
    grads: list[Tensor],
    slots: list[list[Tensor]],
    t: int,
    numbers: Numbers,
) -> None:
    _check_momentum(numbers)
    if sum([param.numel() for param in params]) <= SLICE // 2:
        _as_adam(list(zip(params, grads, slots[0], strict=True)), numbers)
        return
    batch: list[tuple[Tensor, Tensor, Tensor]] = []
    size = 0
    for span in zip(params, grads, slots[0], strict=True):
        lengths = _slices(span[0].numel())
        for part in zip(*(tensor.split(lengths) for tensor in span), strict=True):
            if size + part[0].numel() > SLICE:
                _as_adam(batch, numbers)
                batch, size = [], 0
            batch.append(part)
            size += part[0].numel()
    _as_adam(batch, numbers)


def _fused_unaligned(
    params: list[Tensor],
    grads: list[Tensor],
    slots: list[list[Tensor]],
    t: int,
    numbers: Numbers,
) -> None:
    _check_momentum(numbers)
    spans = list(zip(params, grads, slots[0], strict=True))
    if sum([param.numel() for param in params]) <= SLICE:
        _as_adam(spans, numbers)
        return
    for span in spans:
        for part in zip(*(tensor.split(SLICE) for tensor in span), strict=True):
            _as_adam([part], numbers)


def _check_momentum(numbers: Numbers) -> None:
    # The slots were made for a rule without velocity; a user may change param_groups later.
    if numbers["momentum"]:
        raise ValueError(
            f"momentum must be 0, as it was when the optimizer was made, got {numbers['momentum']}"
        )


@lru_cache(maxsize=4096)
def _slices(size: int) -> list[int]:
    """Return the lengths of the slices into which *size* elements are divided."""
    whole, rest = divmod(size, SLICE)
    # torch adds the decay in one thread, or in two of which each takes half of a slice. Half of an
    # odd rest would end beside the vectors of a processor, where elements may get other last bits.
    halves = [SLICE // 2, rest - SLICE // 2] if rest > SLICE // 2 else [rest]
    return [SLICE] * whole + (halves if rest or not whole else [])


def _as_adam(batch: Sequence[tuple[Tensor, Tensor, Tensor]], numbers: Numbers) -> None:
    """
    Make an RMSprop update with torch's Adam kernel, since torch has no kernel for RMSprop.

    Each item of *batch* has a parameter, its gradient and its square_avg.

    With beta1 = 0 Adam's exp_avg is the gradient, and after infinitely many steps Adam's bias
    corrections are exactly 1. The kernel writes to exp_avg, and the gradient must not change, so
    exp_avg is a copy of the gradient. (A buffer used for several parameters would carry a NaN from
    one parameter to the next.)
    """
    params, grads, square_avgs = (list(column) for column in zip(*batch, strict=True))
    scale = numbers.get("grad_scale", 1.0)
    decay = numbers["weight_decay"]
    copies = [grad * scale for grad in grads]
    if decay:
        torch._foreach_add_(copies, params, alpha=decay)
    steps = torch.full((), float("inf"), device=params[0].device)
    torch._fused_adam_(
        params,
        copies,
        copies,
        square_avgs,
        [],
        [steps] * len(params),
        lr=numbers["lr"],
        beta1=0.0,
        beta2=numbers["rho"],
        weight_decay=0.0,
        eps=numbers["eps"],
        amsgrad=False,
        maximize=False,
    )


RMSPROP_TF = Rule(
    "rmsprop_tf",
    rmsprop,
    slots=_slots,
    scalars=_correction,
    torch_hyperparameters={"alpha": ("rho",)},
)
RMSPROP = Rule(
    "rmsprop",
    rmsprop,
    slots=_slots,
    scalars=_correction,
    fused=_fused,
    fused_unaligned=_fused_unaligned,
    torch_hyperparameters={"alpha": ("rho",)},
    torch_flags=("centered",),
    takes_sparse_in_paddle=True,
)
