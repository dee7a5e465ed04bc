"""Whether this machine is fit to train on: its folders can be used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from store.settings import Settings
from store.storage.artifacts import Storage
from store.storage.usable import StorageAway, described, require_usable

ANSWERS_S = 10.0
"""Seconds within which folders must answer."""


@dataclass
class Machine:
    """
    Looks whether a machine is well, without waiting for folders that do not answer.

    Attributes:
        check: raises what is wrong: `StorageAway` or OSError.
        answers_s: seconds within which it must be done.
    """

    check: Callable[[], None]
    answers_s: float = ANSWERS_S
    _wrong: str = ""
    _looking: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> str:
        """Return what is wrong, or ''."""
        with self._lock:
            if self._looking is None:  # else the last look has not come back yet
                self._looking = threading.Thread(target=self._look, name="machine", daemon=True)
                self._looking.start()
            self._looking.join(self.answers_s)
            if self._looking.is_alive():
                return f"its folders have not answered within {self.answers_s:g} s"
            self._looking = None
            return self._wrong

    def _look(self) -> None:
        try:
            self.check()
        except StorageAway as error:
            self._wrong = str(error)
        except OSError as error:
            self._wrong = described(error)
        else:
            self._wrong = ""


def folders(settings: Settings) -> Callable[[], None]:
    """Return the check that storage and data can be used; a store that is away says nothing."""
    storage = Storage(settings.storage_dir)

    def check() -> None:
        try:
            with redis.from_url(settings.store_url, socket_timeout=5, retry=None) as client:
                require_usable(client, storage)
        except redis.RedisError:
            pass
        next(settings.data_dir.iterdir(), None)  # at the start it was there

    return check
