"""The input of the checks of `optserve doctor` (`Home`), and their results (`Finding`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from store.settings import Settings


class RepairFailed(Exception):
    """A repair failed; the message says why. No data was lost."""


@dataclass(frozen=True)
class Finding:
    """
    The result of a check.

    Attributes:
        subject: what was checked, in a word or two.
        message: what the check found.
        todo: what to do about a problem; empty if there is no problem.
        repair: a function that fixes the problem and returns a text about what it did; None if only
            a person can fix the problem.
    """

    subject: str
    message: str
    todo: str = ""
    repair: Callable[[], str] | None = None

    @property
    def ok(self) -> bool:
        """Whether the check found no problem."""
        return not self.todo


@dataclass(frozen=True)
class Home:
    """
    The home of a local stack (the folder with its files), as the checks see it.

    Attributes:
        folder: path of the home.
        settings: the settings from the environment, for this home.
        running: whether a stack runs in the home, or processes of an earlier stack have not ended
            yet.
    """

    folder: Path
    settings: Settings
    running: bool

    @property
    def data(self) -> Path:
        """The folder with the data of an embedded server."""
        return self.folder / "redis"
