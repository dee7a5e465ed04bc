"""The best evaluation so far, and how long ago it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from optcore.spec.evaluation import Metric, better


@dataclass
class Best:
    """
    Follows one metric.

    Attributes:
        metric: which.
        min_delta: by how much a value must beat the best.
        value: the best so far, or None.
        step: steps that had been made then.
        waited: evaluations since.
    """

    metric: Metric
    min_delta: float = 0.0
    value: float | None = None
    step: int = 0
    waited: int = 0

    def observe(self, value: float, step: int) -> bool:
        """Take note of an evaluation after *step* steps; return whether it is the new best."""
        if better(self.metric, value, self.value, self.min_delta):
            self.value, self.step, self.waited = value, step, 0
            return True
        self.waited += 1
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes, as JSON can hold it."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where *state* was."""
        self.value, self.step, self.waited = state["value"], state["step"], state["waited"]
