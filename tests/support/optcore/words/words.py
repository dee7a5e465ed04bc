"""What a recorded case comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Case = dict[str, Any]

REPLACED = frozenset({"kind", "groups", "momentum", "dampening"})
"""What an optimizer apart does not have from the case's."""


class Unknown(Exception):
    """The case says something that nobody has translated."""


@dataclass
class Words:
    """
    A case in our words.

    Attributes:
        spec: what goes to make_optimizer.
        params: what has not been translated yet; empty at the end.
        lrs: parameter name -> lr of each step, where it moves; "" for all.
        accumulate: how many gradients make an update.
        feed: factor to the gradients, for a loss that is scaled.
        loss_scale: what the optimizer divides gradients by.
        ema: a moving average that the optimizer maintains.
        only: the parameters that are optimized; empty for all that were recorded.
        parts: parameter names -> the spec of their optimizer, if there is not one for all.
        apart: parameter name -> what is different for it that a group cannot say, such as another
            rule; an optimizer of its own.
    """

    spec: dict[str, Any]
    params: dict[str, Any]
    lrs: dict[str, list[float]] = field(default_factory=dict)
    accumulate: int = 1
    feed: float = 1.0
    loss_scale: float = 1.0
    ema: dict[str, Any] | None = None
    only: tuple[str, ...] = ()
    parts: list[tuple[list[str], dict[str, Any]]] = field(default_factory=list)
    apart: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, names: Mapping[str, str]) -> None:
        """Move the params *names*, theirs -> ours, into the spec."""
        for theirs, ours in names.items():
            if theirs in self.params:
                value = self.params.pop(theirs)
                if value is not None:
                    self.spec[ours] = value

    def same(self, *names: str) -> None:
        """Move params that are called the same into the spec."""
        self.take({name: name for name in names})

    def pair(self, theirs: str, *ours: str) -> None:
        """Move a param that is a tuple into the spec."""
        if theirs in self.params:
            self.spec.update(zip(ours, self.params.pop(theirs), strict=True))

    def drop(self, *names: str) -> None:
        """Forget params that change nothing: names, implementations."""
        for name in names:
            self.params.pop(name, None)

    def group(self, name: str, **overrides: Any) -> None:
        """Give the parameter *name* hyperparameters of its own, on top of those it has."""
        if not overrides:
            return
        groups = self.spec.setdefault("groups", [])
        for group in groups:
            if group["match"] == name:
                group.update(overrides)
                return
        groups.append({"match": name, **overrides})

    def slipped(self, slip: Mapping[str, Any]) -> Words:
        """Return the same with *slip* in place of its own: numbers of the spec, or loss_scale."""
        given = dict(slip)
        loss_scale = given.pop("loss_scale", self.loss_scale)
        return replace(self, spec={**self.spec, **given}, loss_scale=loss_scale)

    def specs(self) -> list[tuple[list[str], dict[str, Any]]]:
        """Return the optimizers: whose, and their specs."""
        if self.parts:
            return self.parts
        together = [name for name in self.only if name not in self.apart]
        shared = {name: value for name, value in self.spec.items() if name not in REPLACED}
        return [
            *([(together, self.spec)] if together else []),
            *(([name], {**shared, **different}) for name, different in self.apart.items()),
        ]
