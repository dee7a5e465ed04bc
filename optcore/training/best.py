"""The best value of a metric, for early stopping and the best checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from optcore.spec.evaluation import better


@dataclass
class Best:
    """
    The best value of one metric so far, and the number of evaluations since that value.

    Attributes:
        metric: the name of the metric.
        min_delta: a value is a new best only if it is better by more than this difference.
        value: the best value so far; None before the first evaluation.
        step: the number of steps made before the best evaluation.
        waited: the number of evaluations since the best one.
    """

    metric: str
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
        """Return the state for `load_state_dict`, as JSON types."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the *state* that `state_dict` returned."""
        self.value, self.step, self.waited = state["value"], state["step"], state["waited"]
