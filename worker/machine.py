"""Checks whether this machine can train: the storage and the data folder must be usable."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from store.redis.connect import connect
from store.settings import Settings
from store.storage.storage import Storage
from store.storage.usable import StorageAway, described, require_usable

ANSWERS_S = 10.0
"""Maximum number of seconds that a check may take."""


@dataclass
class Machine:
    """
    Runs a check of this machine with a time limit, since folders on a file server may hang.

    Attributes:
        check: a function that raises `StorageAway` or OSError if something is wrong.
        answers_s: the time limit in seconds.
    """

    check: Callable[[], None]
    answers_s: float = ANSWERS_S
    _problem: str = ""
    _checking: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def problem(self) -> str:
        """Run the check; return a description of what is wrong, or ''."""
        with self._lock:
            # A thread that hangs in a system call cannot be ended: there is never a second one.
            if self._checking is None:
                self._checking = threading.Thread(target=self._run, name="machine", daemon=True)
                self._checking.start()
            self._checking.join(self.answers_s)
            if self._checking.is_alive():
                return (
                    "the check of the storage and the data folder did not finish within "
                    f"{self.answers_s:g} s"
                )
            self._checking = None
            return self._problem

    def _run(self) -> None:
        try:
            self.check()
        except StorageAway as error:
            self._problem = str(error)
        except OSError as error:
            self._problem = described(error)
        else:
            self._problem = ""


def folder_check(settings: Settings) -> Callable[[], None]:
    """
    Return a function that checks whether the storage and the data folder are usable.

    The function raises `StorageAway` or OSError if they are not. It ignores errors from Redis:
    Redis may be unavailable while the machine can train.
    """
    storage = Storage(settings.storage_dir)

    def check() -> None:
        try:
            with connect(settings.store_url) as client:
                require_usable(client, storage)
        except redis.RedisError:
            pass
        next(settings.data_dir.iterdir(), None)  # `preflight` has checked at startup that it exists

    return check
