"""Adam: momentum and RMSprop combined, with corrections for means that start at 0."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, FusedKernel, Numbers, Rule, unscale
from optcore.optimizers.rules.running_powers import RunningPowers
from optcore.spec.optimizers.rounded import float32


def adam(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *others: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_root: float,
    correction1: float,
    correction2: float,
    eps_hat: bool,
    amsgrad: bool,
    nesterov: bool,
    corrected_maximum: bool,
    plain: bool,
) -> tuple[Tensor, ...]:
    """
    Return *param*, *exp_avg*, *exp_avg_sq* and *others* after one Adam update.

    Writing m for exp_avg, v for exp_avg_sq, c1 and c2 for the corrections::

        m     = beta1 * m + (1 - beta1) * grad
        v     = beta2 * v + (1 - beta2) * grad * grad
        s     = v                                    max(s, v) if amsgrad
        n     = m                                    beta1 * m + (1 - beta1) * grad if nesterov
        param = param - lr * (n / c1) / (sqrt(s / c2) + eps)

    The step is computed as lr * sqrt(c2)/c1 * n / (sqrt(s) + eps * sqrt(c2)), which is equal but
    takes one operation less per element. With *eps_hat*, eps is not multiplied by sqrt(c2) (the
    paper's remark before section 2.1). An *eps_root* is added to s / c2. With *corrected_maximum*,
    s is max(s, v / c2) and is not divided by c2.

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        others: max_exp_avg_sq if *amsgrad*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        eps_root: keeps s / c2 away from 0 (optax).
        correction1: 1 - beta1 ** t.
        correction2: 1 - beta2 ** t.
        eps_hat: whether *eps* is the paper's epsilon hat, which is not multiplied by sqrt(c2).
        amsgrad: whether the step is divided by the root of the largest exp_avg_sq so far.
        nesterov: whether the step uses exp_avg with the gradient mixed in once more (MindSpore,
            timm's nadamw).
        corrected_maximum: whether amsgrad takes the maximum of corrected exp_avg_sq (optax).
        plain: whether the step is computed as the formula is written (bitsandbytes). The last bit
            of a float32 may decide which 8-bit code an element gets.

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, Algorithm 1.
        https://arxiv.org/abs/1412.6980
        Reddi, Kale and Kumar, On the Convergence of Adam and Beyond, 2018, Algorithm 2.
        https://arxiv.org/abs/1904.09237
    """
    root2 = correction2**0.5
    if plain:
        exp_avg = torch.add(exp_avg * beta1, grad, alpha=1 - beta1)
    else:
        exp_avg = torch.lerp(grad, exp_avg, beta1)
    # 1 - beta2 is exact for any float32 beta2 of 0.5 or more, so for a rounded beta2 a kernel that
    # subtracts in float32 computes the same number.
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    largest = exp_avg_sq
    if amsgrad and corrected_maximum:
        # After 20 updates this differs by 2.8e-2 from the maximum of the uncorrected means.
        largest = torch.maximum(others[0], exp_avg_sq / correction2)
        root2 = 1.0
    elif amsgrad:
        largest = torch.maximum(others[0], exp_avg_sq)
    if plain:
        denominator = largest.sqrt() / root2 + eps
        param = torch.addcdiv(param, exp_avg, denominator, value=-lr / correction1)
        return param, exp_avg, exp_avg_sq
    square = largest + eps_root * root2 * root2 if eps_root else largest
    denominator = square.sqrt() + (eps if eps_hat else eps * root2)
    direction = torch.lerp(grad, exp_avg, beta1) if nesterov else exp_avg
    param = torch.addcdiv(param, direction, denominator, value=-lr * root2 / correction1)
    return (param, exp_avg, exp_avg_sq, largest) if amsgrad else (param, exp_avg, exp_avg_sq)


def adam_weight_decay(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_sq* after one update of Adam without bias corrections.

    Writing m for exp_avg and v for exp_avg_sq::

        m     = beta1 * m + (1 - beta1) * grad
        v     = beta2 * v + (1 - beta2) * grad * grad
        param = param - lr * m / (sqrt(v) + eps)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.

    References:
        mindspore.nn.AdamWeightDecay; AdamWeightDecayOptimizer of google-research/bert.
    """
    exp_avg = torch.lerp(grad, exp_avg, beta1)
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    return (
        torch.addcdiv(param, exp_avg, exp_avg_sq.sqrt() + eps, value=-lr),
        exp_avg,
        exp_avg_sq,
    )


def moments(numbers: Numbers, flags: Flags) -> dict[str, float]:
    """Return the slots of Adam and their first values, which are 0."""
    slots = {"exp_avg": 0.0, "exp_avg_sq": 0.0}
    return {**slots, "max_exp_avg_sq": 0.0} if flags.get("amsgrad") else slots


POWERS = RunningPowers(("beta1", "beta2"))


def corrections(
    t: int, numbers: Numbers, flags: Flags, powers: RunningPowers = POWERS
) -> dict[str, float]:
    """Return the divisors that correct exp_avg and exp_avg_sq for starting at 0."""
    now = powers.in_update(t, numbers, flags)
    return {"correction1": 1 - now["beta1"], "correction2": 1 - now["beta2"]}


def _corrections_and_root(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {**corrections(t, numbers, flags), "eps_root": numbers.get("eps_root", 0.0)}


def rounded_betas(numbers: Numbers) -> dict[str, float]:
    """
    Return the betas rounded to float32, as a float32 kernel gets them.

    Powers of the betas are computed from the betas before rounding.
    """
    return {name: float32(numbers[name]) for name in ("beta1", "beta2")}


def _fused(*, decoupled: bool) -> FusedKernel:
    def kernel(
        params: list[Tensor],
        grads: list[Tensor],
        slots: list[list[Tensor]],
        t: int,
        numbers: Numbers,
    ) -> None:
        # Kernels get no flags, so the number of slots shows whether amsgrad is on.
        amsgrad = len(slots) == len(("exp_avg", "exp_avg_sq", "max_exp_avg_sq"))
        run = torch._fused_adamw_ if decoupled else torch._fused_adam_
        run(
            params,
            grads,
            slots[0],
            slots[1],
            slots[2] if amsgrad else [],
            # The kernel only reads the step, so one tensor serves every parameter. It is a float32
            # as in torch, which counts exactly up to 2 ** 24.
            [torch.full((), float(t), device=params[0].device)] * len(params),
            lr=numbers["lr"],
            beta1=numbers["beta1"],
            beta2=numbers["beta2"],
            weight_decay=numbers["weight_decay"],
            eps=numbers["eps"],
            amsgrad=amsgrad,
            maximize=False,
            grad_scale=unscale(numbers, params[0]),
        )

    return kernel


BETAS = {"betas": ("beta1", "beta2")}

ADAM = Rule(
    "adam",
    adam,
    slots=moments,
    scalars=_corrections_and_root,
    carries=POWERS.carries,
    carries_in=torch.float64,
    carries_from=POWERS.bases,
    implied=POWERS.implied,
    fused=_fused(decoupled=False),
    torch_hyperparameters=BETAS,
    torch_flags=("amsgrad",),
    takes_sparse_in_paddle=True,
    sparse_ahead_in_paddle=1,
)
ADAMW = Rule(
    "adamw",
    adam,
    slots=moments,
    scalars=_corrections_and_root,
    carries=POWERS.carries,
    carries_in=torch.float64,
    carries_from=POWERS.bases,
    implied=POWERS.implied,
    fused=_fused(decoupled=True),
    fused_decays=True,
    fused_flags={"nesterov": False},
    torch_hyperparameters=BETAS,
    torch_flags=("amsgrad",),
    not_negative=frozenset({"exp_avg_sq"}),
)
ADAM_WEIGHT_DECAY = Rule("adam_weight_decay", adam_weight_decay, slots=moments)
LAZY_ADAM = Rule(
    "lazy_adam",
    adam,
    slots=moments,
    scalars=_corrections_and_root,
    carries=POWERS.carries,
    carries_in=torch.float64,
    carries_from=POWERS.bases,
    implied=POWERS.implied,
    by_rows=True,
    torch_hyperparameters=BETAS,
    whole_steps=True,
    sparse_ahead_in_paddle=1,
)
