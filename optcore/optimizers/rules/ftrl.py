"""Rules that can make parameters exactly 0: FTRL, proximal SGD and proximal AdaGrad."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule


def ftrl(
    param: Tensor,
    grad: Tensor,
    accumulator: Tensor,
    linear: Tensor,
    *,
    lr: float,
    lr_power: float,
    l1_strength: float,
    l2_strength: float,
    l2_shrinkage: float,
    beta: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *accumulator* and *linear* after one FTRL update.

    Writing n for accumulator, z for linear and q for -lr_power::

        s     = (n + grad * grad) ** q
        z     = z + grad + 2 * l2_shrinkage * param - (s - n ** q) / lr * param
        n     = n + grad * grad
        param = (clamp(z, -l1_strength, l1_strength) - z) / ((s + beta) / lr + 2 * l2_strength)

    With lr = 0, as at the start of a warmup, nothing changes.

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        accumulator: same shape as *param*; initial_accumulator_value before the first step.
        linear: same shape as *param*; zeros before the first step.
        lr: learning rate.
        lr_power: exponent by which the step size falls with n; -0.5 for 1 / sqrt(n).
        l1_strength: L1 regularization, which makes small parameters exactly 0.
        l2_strength: L2 regularization, which pulls param towards 0.
        l2_shrinkage: L2 regularization that is added to the gradient in z but not in n.
        beta: added to s, which keeps the first steps small.

    References:
        McMahan et al., Ad Click Prediction: a View from the Trenches, 2013, Algorithm 1.
        https://research.google/pubs/pub41159/
        keras.optimizers.Ftrl.
    """
    if not lr:
        return param, accumulator, linear
    if lr_power:
        # Computed first, since a program writes the new sum over the accumulator.
        before = accumulator.pow(-lr_power)
        squares = torch.addcmul(accumulator, grad, grad)
        size = squares.pow(-lr_power)
        growth = size - before
    else:
        squares = torch.addcmul(accumulator, grad, grad)
        # Ones and zeros are computed from a tensor, so that a program can write them in place.
        size = squares * 0 + 1
        growth = squares * 0
    if l2_shrinkage:
        grad = torch.add(grad, param, alpha=2 * l2_shrinkage)
    linear = torch.addcmul(linear + grad, growth, param, value=-1 / lr)
    clipped = linear.clamp(-l1_strength, l1_strength)
    # In this order, no intermediate result overflows, however small lr is.
    quadratic = size / lr + (beta / lr + 2 * l2_strength)
    return (clipped - linear) / quadratic, squares, linear


def proximal_sgd(
    param: Tensor, grad: Tensor, *, lr: float, l1_strength: float, l2_strength: float
) -> tuple[Tensor]:
    """
    Return *param* after a step of gradient descent and a proximal step, which shrinks it.

    ::

        q     = param - lr * grad
        param = sign(q) * max(|q| - lr * l1_strength, 0) / (1 + lr * l2_strength)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        lr: learning rate.
        l1_strength: L1 regularization: |q| shrinks by lr * l1_strength, but not below 0.
        l2_strength: L2 regularization: param is divided by 1 + lr * l2_strength.

    References:
        Duchi and Singer, Efficient Online and Batch Learning using Forward Backward Splitting,
        2009. https://jmlr.org/papers/v10/duchi09a.html
    """
    param = torch.add(param, grad, alpha=-lr)
    if l1_strength:
        param = param.sign() * (param.abs() - lr * l1_strength).clamp(min=0)
    return (param / (1 + lr * l2_strength),)


def proximal_adagrad(
    param: Tensor,
    grad: Tensor,
    sum: Tensor,
    *,
    lr: float,
    l1_strength: float,
    l2_strength: float,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *sum* after a step of AdaGrad and a proximal step, which shrinks *param*.

    ::

        sum   = sum + grad * grad
        eta   = lr / sqrt(sum)
        q     = param - eta * grad
        param = sign(q) * max(|q| - eta * l1_strength, 0) / (1 + eta * l2_strength)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        sum: same shape as *param*; initial_accumulator_value before the first step.
        lr: learning rate.
        l1_strength: L1 regularization: |q| shrinks by eta * l1_strength, but not below 0.
        l2_strength: L2 regularization: param is divided by 1 + eta * l2_strength.

    References:
        Duchi and Singer, Efficient Online and Batch Learning using Forward Backward Splitting,
        2009. https://jmlr.org/papers/v10/duchi09a.html
    """
    sum = torch.addcmul(sum, grad, grad)
    eta = sum.rsqrt() * lr
    param = torch.addcmul(param, grad, eta, value=-1)
    if l1_strength:
        param = param.sign() * torch.add(param.abs(), eta, alpha=-l1_strength).clamp(min=0)
    return param / (eta * l2_strength + 1), sum


def _leader(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"accumulator": numbers["initial_accumulator_value"], "linear": 0.0}


def _sum(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"sum": numbers["initial_accumulator_value"]}


FTRL = Rule("ftrl", ftrl, slots=_leader)
PROXIMAL_SGD = Rule("proximal_sgd", proximal_sgd)
PROXIMAL_ADAGRAD = Rule("proximal_adagrad", proximal_adagrad, slots=_sum)
