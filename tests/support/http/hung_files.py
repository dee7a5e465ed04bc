"""What tests of an API process whose files hang have in common."""

from __future__ import annotations

from dataclasses import dataclass

PATIENCE_S = 2.0
"""How long a request waits for its file."""


@dataclass
class Jobs:
    """One job of each kind; those that have ended lie in files."""

    queued: str
    running: str
    ended: str
