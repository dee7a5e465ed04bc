"""ASGD, which averages parameters over updates."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.optimizers.base import OptimizerSpec


class Asgd(OptimizerSpec):
    """
    Gradient descent with a falling step size, evaluated on the average of its iterates.

    ::

        g   = g + weight_decay * p
        eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
        p   = p - eta * (lambd * p + g)
        a   = a + (p - a) / max(1, t - 1 - t0)

    a is the average of p since update t0, and equals p until then. Evaluations use a.

    In eta, lr is the learning rate of the previous update, so a schedule takes effect one update
    late, as in torch. The first update takes its own lr.

    Paddle's ASGD is a different optimizer: sag.

    References:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
        torch.optim.ASGD, mindspore.nn.ASGD.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch", "mindspore")
    STATE_BYTES: ClassVar[str] = "4"

    kind: Literal["asgd"]
    lr: float = per_dialect({"torch": 0.01, "mindspore": 0.1}, gt=0)
    """Learning rate."""
    lambd: float = Field(1e-4, ge=0)
    """Decay rate of the step size eta, and of the parameters."""
    alpha: float = Field(0.75, ge=0)
    """Exponent in the decay of the step size eta."""
    t0: float = Field(1e6, ge=0)
    """Number of updates before the averaging starts; until then a equals p."""

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flag in_float32: eta and the weight of p in a are float32 numbers."""
        return {"in_float32": True}
