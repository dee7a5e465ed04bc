"""Optimizers with momentum, whose steps may be limited to where the gradient agrees with them."""

from __future__ import annotations

from optcore.spec.optimizers.base import OptimizerSpec


class CautiousSpec(OptimizerSpec):
    """
    The base of the optimizers whose step may be masked where it disagrees with the gradient.

    Writing u for the step, decay aside::

        mask = 1 where u * g > 0, else 0
        p    = p - u * mask / max(mean(mask), 0.001)        the mean over one parameter tensor

    References:
        Liang et al., Cautious Optimizers: Improving Training with One Line of Code, 2024,
        Algorithm 1. https://arxiv.org/abs/2411.16085
        The names of timm that begin with c, such as cadamw.
    """

    cautious: bool = False
    """Whether coordinates in which the step and the gradient have different signs stay where they
    are, and the others move by as much more as they are fewer: divided by their share of the
    parameter tensor, which counts as at least 0.001."""


def is_cautious(spec: OptimizerSpec) -> bool:
    """Return whether *spec* has the field cautious, and it is true."""
    return isinstance(spec, CautiousSpec) and spec.cautious
