"""The base of optimizers that may mask coordinates where step and gradient differ in sign."""

from __future__ import annotations

from optcore.spec.optimizers.base import OptimizerSpec


class CautiousSpec(OptimizerSpec):
    """
    The base of the optimizers that may mask the coordinates where step and gradient differ in sign.

    Writing u for the step without the weight decay::

        mask = 1 where u * g > 0, else 0
        p    = p - u * mask / max(mean(mask), 0.001)        the mean over one parameter tensor

    References:
        Liang et al., Cautious Optimizers: Improving Training with One Line of Code, 2024,
        Algorithm 1. https://arxiv.org/abs/2411.16085
        The names of timm that begin with c, such as cadamw.
    """

    cautious: bool = False
    """Whether p changes only in the coordinates where the step and the gradient have the same sign.
    The step is then divided by the share of these coordinates in the parameter tensor, or by 0.001
    if the share is smaller."""


def is_cautious(spec: OptimizerSpec) -> bool:
    """Return whether *spec* has the field ``cautious``, and the field is true."""
    return isinstance(spec, CautiousSpec) and spec.cautious
