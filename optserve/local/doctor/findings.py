"""What the checks get, and what they return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from store.settings import Settings


class RepairFailed(Exception):
    """A repair failed; the text says why. Nothing was lost."""


@dataclass(frozen=True)
class Finding:
    """
    What a check found.

    Attributes:
        subject: what was checked, in a word or two.
        message: its condition.
        todo: what to do about a problem; empty if there is none.
        repair: fixes the problem and returns what it did; None where that needs a person.
    """

    subject: str
    message: str
    todo: str = ""
    repair: Callable[[], str] | None = None

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.todo


@dataclass(frozen=True)
class Home:
    """
    The home of a local stack, to be checked.

    Attributes:
        folder: its path.
        settings: from the environment, for this home.
        running: whether a stack runs on it, or processes of one have not ended yet.
    """

    folder: Path
    settings: Settings
    running: bool

    @property
    def data(self) -> Path:
        """The folder of an embedded server's data."""
        return self.folder / "redis"
