"""The best evaluation so far, and the number of evaluations since."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from optcore.spec.evaluation import Metric, better


@dataclass
class Best:
    """
    The best value of one metric.

    Attributes:
        metric: its name.
        min_delta: smallest difference to the best that counts as an improvement.
        value: the best so far, or None.
        step: steps made before it.
        waited: evaluations since then.
    """

    metric: Metric
    min_delta: float = 0.0
    value: float | None = None
    step: int = 0
    waited: int = 0

    def observe(self, value: float, step: int) -> bool:
        """Record *value*, measured after *step* steps; return whether it is the new best."""
        if better(self.metric, value, self.value, self.min_delta):
            self.value, self.step, self.waited = value, step, 0
            return True
        self.waited += 1
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, in types of JSON."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore *state*."""
        self.value, self.step, self.waited = state["value"], state["step"], state["waited"]
