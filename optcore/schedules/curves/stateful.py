"""The two schedules that keep state: what they are told moves lr."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from optcore.schedules.families.stateful import Greedy, Observing, Plateau


class Follower(ABC):
    """
    An lr that follows a metric.

    Attributes:
        spec: what it is to do.
        lr: the learning rate from here on, until the next observation.
    """

    COUNTERS: tuple[str, ...]
    """Its state besides lr and best: names of whole numbers."""

    def __init__(self, spec: Observing, lr: float) -> None:
        self.spec = spec
        self.lr = lr
        self.first_lr = lr
        self.restart()

    def restart(self) -> None:
        """Forget what was observed; lr stays."""
        self.best = math.inf if self.spec.mode == "min" else -math.inf
        for name in self.COUNTERS:
            setattr(self, name, 0)

    @abstractmethod
    def observe(self, value: float) -> None:
        """Take note of the metric's next *value*, and move lr."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as JSON: what is not finite is a string."""
        state: dict[str, Any] = {name: getattr(self, name) for name in self.COUNTERS}
        return {"lr": self.lr, "best": _plain(self.best), **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Go on from a *state* that `state_dict` gave.

        Raises:
            ValueError: it is the state of something else.
        """
        expected = set(self.state_dict())
        if set(state) != expected:
            raise ValueError(
                f"state must have {', '.join(sorted(expected))}, got {', '.join(sorted(state))}"
            )
        self.lr, self.best = float(state["lr"]), float(state["best"])
        for name in self.COUNTERS:
            setattr(self, name, int(state[name]))

    def beats_best(self, value: float, threshold: float, mode: str) -> bool:
        """Return whether *value* is better than the best by *threshold*; NaN never is."""
        if self.spec.mode == "min":
            bar = self.best * (1 - threshold) if mode == "rel" else self.best - threshold
            return value < bar
        bar = self.best * (threshold + 1) if mode == "rel" else self.best + threshold
        return value > bar


class PlateauFollower(Follower):
    """`optcore.schedules.families.stateful.Plateau`."""

    COUNTERS = ("bad", "cooling")
    spec: Plateau
    bad: int
    cooling: int

    def observe(self, value: float) -> None:
        """Take note of the metric's next *value*; lr falls when too many were no better."""
        spec = self.spec
        if self.cooling and spec.in_cooldown == "ignore":
            self.cooling -= 1
            return
        if self.beats_best(value, spec.threshold, spec.threshold_mode):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
        if self.bad > spec.patience:
            self.cooling, self.bad = spec.cooldown, 0
            lower = max(self.lr * spec.factor, spec.min_lr)
            if self.lr - lower > spec.eps:
                self.lr = lower


class GreedyFollower(Follower):
    """`optcore.schedules.families.stateful.Greedy`."""

    COUNTERS = ("good", "bad", "skip", "at_floor")
    spec: Greedy
    good: int
    bad: int
    skip: int
    at_floor: int

    def restart(self) -> None:
        """Forget what was observed; lr stays."""
        super().restart()
        self.recent: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {**super().state_dict(), "recent": [_plain(value) for value in self.recent]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a *state* that `state_dict` gave."""
        super().load_state_dict(state)
        self.recent = [float(value) for value in state["recent"]]

    def observe(self, value: float) -> None:
        """Take note of the metric's next *value*; lr rises while it improves, or falls."""
        spec = self.spec
        self.recent = [*self.recent, value][-spec.window :]
        value = math.fsum(self.recent) / len(self.recent) if spec.window > 1 else value
        if self.skip:
            self.skip -= 1
            self.good = self.bad = 0
            return
        if self.beats_best(value, spec.threshold, spec.threshold_mode):
            self.best, self.good, self.bad = value, self.good + 1, 0
        else:
            self.good, self.bad = 0, self.bad + 1
        if self.good > spec.patience:
            self._raise()
        elif self.bad > spec.patience:
            self._lower()

    def _raise(self) -> None:
        higher = min(self.lr / self.spec.factor, self.spec.max_lr)
        if higher - self.lr > self.spec.eps:
            self.lr = higher
        self.at_floor, self.good, self.skip = 0, 0, self.spec.rest

    def _lower(self) -> None:
        lower = max(self.lr * self.spec.factor, self.spec.min_lr)
        if self.lr - lower > self.spec.eps:
            self.lr = lower
        self.bad, self.skip = 0, self.spec.cooldown
        if self.lr <= self.spec.min_lr:
            self.at_floor += 1
            if self.at_floor >= self.spec.reset_after:
                self.lr = self.first_lr
                self.restart()
                # transformers begins the cooldown also after it started again.
                self.skip = self.spec.cooldown


def _plain(value: float) -> float | str:
    """Return *value* as JSON has it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def follower(spec: Observing, lr: float) -> Follower:
    """Return what does as *spec* says, at its first learning rate *lr*."""
    kinds: dict[type[Observing], type[Follower]] = {
        Plateau: PlateauFollower,
        Greedy: GreedyFollower,
    }
    return kinds[type(spec)](spec, lr)
