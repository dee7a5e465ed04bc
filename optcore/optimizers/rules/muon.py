"""Muon: momentum for matrices, with each step replaced by the nearest orthogonal matrix."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Size, Tensor

from optcore.optimizers.rules.orthogonal import MATRIX, orthogonal
from optcore.optimizers.rules.rule import Flags, Numbers, Rule

NS_SCHEDULES: Mapping[str, tuple[tuple[float, float, float], ...]] = {
    "quintic": (
        (4.0848, -6.8946, 2.927),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
    "polar_express": (
        (8.237312490495555, -23.157747414558198, 16.680568411445915),
        (4.082441999064835, -2.893047735332586, 0.5252849256975648),
        (3.9263479922546582, -2.8547468034765298, 0.5318022422894988),
        (3.2982187133085143, -2.424541981026706, 0.48632008358844075),
        (2.2970369434552573, -1.63662558125903, 0.4002628455953627),
        (1.8763805351440397, -1.2347896577722228, 0.35891887501668385),
        (1.8564423485617974, -1.2132449880935525, 0.3568003487825883),
        (1.8749994008682747, -1.2499988017229169, 0.3749994008546422),
    ),
    "polar_express_safer": (
        (8.156554524902461, -22.48329292557795, 15.878769915207462),
        (4.0429299351667245, -2.808917465908704, 0.5000178451051299),
        (3.8916678022926563, -2.7724841532176825, 0.5060648178503389),
        (3.285753657755658, -2.3681294933425394, 0.46449024233003117),
        (2.3005307116270983, -1.6111665557258408, 0.3833374427545273),
        (1.8631210546382593, -1.2042160621002727, 0.3421879560523383),
        (1.8382572152247512, -1.1779263289537742, 0.3396513038637379),
        (1.8749999923301852, -1.2499999836060613, 0.374999991275876),
    ),
}
"""Name of a schedule -> (a, b, c) for each iteration, as in timm; the last entry is repeated."""


def muon(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor,
    *others: Tensor,
    lr: float,
    momentum: float,
    ns_a: float,
    ns_b: float,
    ns_c: float,
    ns_steps: float,
    ns_eps: float,
    ns_safety: float,
    rms_rate: float,
    avg_share: float,
    grad_share: float,
    beta2: float,
    correction2: float,
    in_blocks: bool = False,
    **flags: bool,
) -> tuple[Tensor, ...]:
    """
    Return *param*, *momentum_buffer* and *others* after one Muon update.

    Writing v for momentum_buffer, and s for the factor from `_scale`::

        v     = momentum * v + f * grad           f = 1 - momentum if mean_velocity, else 1
        n     = v
                momentum * v + f * grad           if nesterov
                avg_share * v + grad_share * grad if corrected
        param = param - lr * s * orthogonal(n)

    With the flag adaptive, writing O for orthogonal(n) and q for the slot in *others*::

        q     = beta2 * q + (1 - beta2) * O * O
        A     = O / (sqrt(q / correction2) + ns_eps)
        A     = A / (norm(A) + ns_eps)                only if by_size
        param = param - lr * s * A

    Args:
        param: two dimensions or more, any float dtype.
        grad: same shape and dtype as *param*.
        momentum_buffer: same shape as *param*; zeros before the first step. Written in place.
        others: exp_avg_sq, in the shape of *param*, if adaptive; zeros before the first step.
        lr: learning rate.
        momentum: share of the old velocity that is kept, in [0, 1).
        ns_a: coefficient of X in each iteration of `orthogonal`.
        ns_b: coefficient of X X^T X.
        ns_c: coefficient of X X^T X X^T X.
        ns_steps: number of iterations.
        ns_eps: keeps the divisors away from 0.
        ns_safety: factor of the norm: n is divided by ns_safety times its norm.
        rms_rate: root mean square of a step for lr 1, if by_size.
        avg_share: factor of v in n, if corrected.
        grad_share: factor of the gradient in n, if corrected; 0 without Nesterov's momentum.
        beta2: share of the old exp_avg_sq that is kept, if adaptive.
        correction2: 1 - beta2 ** t; 1 if by_size.
        in_blocks: as in `orthogonal`; false gives the bits of 0.2.0.
        flags: the flags of `orthogonal`, the names in `NS_SCHEDULES`, and those below. If a name in
            `NS_SCHEDULES` is true, its coefficients take the place of ns_a, ns_b and ns_c.

            mean_velocity: v is a mean of gradients, not a sum.
            nesterov: n contains the gradient once more.
            corrected: the means in n are corrected for starting at 0.
            in_bfloat16: n is made orthogonal in bfloat16.
            batched: a convolution kernel is one matrix per spatial position, not a single matrix.
            by_place: s is divided by the root of the number of positions.
            by_aspect, by_size, by_ratio, by_inputs: each selects a formula for s (`_scale`).
            by_last: s is computed from the last two dimensions of param, not of the matrix.
            inputs_first: the rows of a matrix are inputs and its columns outputs, as in optax.
            rounded: as in `orthogonal`. The step is also multiplied by s in the dtype in which n is
            made orthogonal.
            adaptive: the second block of formulas applies.

    References:
        Jordan et al., Muon: An Optimizer for Hidden Layers in Neural Networks, 2024.
        https://kellerjordan.github.io/posts/muon/
        Si et al., AdaMuon: Adaptive Muon Optimizer, 2025 (adaptive).
        https://arxiv.org/abs/2507.11005
        torch.optim.Muon, keras.optimizers.Muon, timm 1.0.31, optax.contrib.muon.
    """
    # Memory is reused as early as possible: matrices are large and cannot be updated in slices.
    if flags["mean_velocity"]:
        velocity = momentum_buffer.lerp_(grad, 1 - momentum)
    else:
        velocity = torch.add(grad, momentum_buffer, alpha=momentum, out=momentum_buffer)
    shares = (avg_share, grad_share)
    step = orthogonal(
        _direction(grad, velocity, momentum, shares, flags),
        coefficients=_coefficients((ns_a, ns_b, ns_c), int(ns_steps), flags),
        ns_eps=ns_eps,
        ns_safety=ns_safety,
        floored=flags["floored"],
        eps_by_shape=flags["eps_by_shape"],
        rounded=flags["rounded"],
        in_blocks=in_blocks,
    )
    shape = param.shape[-2:] if flags["by_last"] else step.shape[-2:]
    outputs, inputs = shape[::-1] if flags["inputs_first"] else shape
    scale = _scale((outputs, inputs), step.numel(), rms_rate, flags)
    if step.ndim > MATRIX:
        scale *= step.shape[0] ** -0.5 if flags["by_place"] else 1.0
        step = step.permute(1, 2, 0)
    step = step.reshape(param.shape).contiguous()
    squares: tuple[Tensor, ...] = ()
    if flags["adaptive"]:
        squares = (others[0].mul_(beta2).addcmul_(step, step, value=1 - beta2),)
        divisor = (squares[0] / correction2).sqrt_().add_(ns_eps)
        step = torch.div(step, divisor, out=divisor)
        if flags["by_size"]:
            step = step.div_(step.norm() + ns_eps)
    if flags["rounded"]:
        step, scale = step.mul_(scale), 1.0
    step = step.to(param.dtype)
    return torch.add(param, step, alpha=-lr * scale, out=step), velocity, *squares


def _direction(
    grad: Tensor,
    velocity: Tensor,
    momentum: float,
    shares: tuple[float, float],
    flags: Mapping[str, bool],
) -> Tensor:
    """Return n of `muon` as the matrix, or the stack of matrices, that `orthogonal` takes."""
    ahead = _ahead(grad, velocity, momentum, shares, flags)
    matrix = _as_matrix(ahead, batched=flags["batched"])
    return matrix.bfloat16() if flags["in_bfloat16"] else matrix


def _ahead(
    grad: Tensor,
    velocity: Tensor,
    momentum: float,
    shares: tuple[float, float],
    flags: Mapping[str, bool],
) -> Tensor:
    if flags["corrected"]:
        return torch.add(velocity * shares[0], grad, alpha=shares[1])
    if not flags["nesterov"]:
        return velocity
    if flags["mean_velocity"]:
        return torch.lerp(grad, velocity, momentum)
    return torch.add(grad, velocity, alpha=momentum)


def _as_matrix(tensor: Tensor, *, batched: bool) -> Tensor:
    """Return *tensor* as a matrix, or if *batched* as a stack of one matrix per position."""
    if tensor.ndim == MATRIX:
        return tensor
    if not batched:
        return tensor.reshape(tensor.shape[0], -1)
    return tensor.reshape(*tensor.shape[:2], -1).permute(2, 0, 1)


def _scale(shape: tuple[int, int], size: int, rms_rate: float, flags: Mapping[str, bool]) -> float:
    """
    Return the factor s of `muon`.

    ::

        rms_rate * sqrt(max(outputs, inputs))    by_size
        rms_rate * sqrt(size)                    by_size and adaptive
        sqrt(max(1, outputs / inputs))           by_aspect
        sqrt(outputs / inputs)                   by_ratio
        1 / sqrt(inputs)                         by_inputs
        1                                        without these flags

    Args:
        shape: (outputs, inputs) of the matrix.
        size: number of elements of the parameter.
        rms_rate: as in `muon`.
        flags: as in `muon`.
    """
    rows, columns = shape
    if flags["by_size"]:
        return float(rms_rate * (size if flags["adaptive"] else max(rows, columns)) ** 0.5)
    if flags["by_aspect"]:
        return float(max(1.0, rows / columns) ** 0.5)
    if flags["by_ratio"]:
        return float((rows / columns) ** 0.5)
    return float(columns**-0.5) if flags["by_inputs"] else 1.0


def _coefficients(
    constant: tuple[float, float, float], steps: int, flags: Mapping[str, bool]
) -> list[tuple[float, float, float]]:
    """Return (a, b, c) for each of the *steps* iterations of `orthogonal`."""
    named = next((name for name in NS_SCHEDULES if flags[name]), None)
    known = list(NS_SCHEDULES[named]) if named is not None else [constant]
    return known[:steps] + [known[-1]] * (steps - len(known))


def _shapes(shape: Size, numbers: Numbers) -> dict[str, tuple[int, ...]]:
    return {"momentum_buffer": tuple(shape), "exp_avg_sq": tuple(shape)}


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    slots = {"momentum_buffer": 0.0}
    return {**slots, "exp_avg_sq": 0.0} if flags["adaptive"] else slots


def _shares(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    momentum = numbers["momentum"]
    shares = {"avg_share": 1.0, "grad_share": 0.0, "correction2": 1.0}
    if flags["corrected"]:
        shares["avg_share"] = 1 / (1 - momentum**t)
        if flags["nesterov"]:
            shares["avg_share"] = momentum / (1 - momentum ** (t + 1))
            shares["grad_share"] = (1 - momentum) / (1 - momentum**t)
    if flags["adaptive"] and not flags["by_size"]:
        shares["correction2"] = 1 - numbers["beta2"] ** t
    return shares


def _steps(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    # torch's Muon keeps no count, and needs none.
    return {"step": float(t)} if flags["corrected"] or flags["adaptive"] else {}


def _adjust_lr_fn(flags: Flags) -> dict[str, str | None]:
    """Return the ``adjust_lr_fn`` of torch's Muon for *flags*; None stands for original."""
    if flags["by_aspect"]:
        return {"adjust_lr_fn": None}
    if flags["by_ratio"] or flags["by_inputs"]:
        return {"adjust_lr_fn": "rms_to_rms" if flags["by_ratio"] else "rsqrt_in"}
    return {"adjust_lr_fn": "match_rms_adamw" if flags["by_size"] else "none"}


MUON = Rule(
    "muon",
    muon,
    slots=_slots,
    scalars=_shares,
    shapes=_shapes,
    counts_steps=False,
    torch_hyperparameters={"ns_coefficients": ("ns_a", "ns_b", "ns_c"), "eps": ("ns_eps",)},
    torch_flags=("nesterov",),
    torch_entries=_adjust_lr_fn,
    torch_state=_steps,
)
