"""What checks find, and what they look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from store.settings import Settings


class RepairFailed(Exception):
    """A repair could not be made; the text says why. Nothing has been lost."""


@dataclass(frozen=True)
class Finding:
    """
    What a check found.

    Attributes:
        subject: what was looked at, in a word or two.
        said: how that is.
        todo: what to do about it; empty if all is well.
        repair: puts it right and returns what it did; None where that needs a person.
    """

    subject: str
    said: str
    todo: str = ""
    repair: Callable[[], str] | None = None

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.todo


@dataclass(frozen=True)
class Examined:
    """
    The home that is looked at.

    Attributes:
        home: its folder.
        settings: of the environment, with this home.
        running: whether a stack runs on it, or processes of one have not ended yet.
    """

    home: Path
    settings: Settings
    running: bool

    @property
    def data(self) -> Path:
        """Where an embedded server keeps everything."""
        return self.home / "redis"
