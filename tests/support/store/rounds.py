"""The rounds of a service, run when a test says so."""

import time
from collections.abc import Callable

import redis

from control.reaper import Reaper
from control.rounds import rounds_of
from store.settings import Settings
from store.storage.storage import Storage


class Rounds:
    """All rounds but the reaper's, which takes jobs from tests that play a worker slowly."""

    def __init__(
        self,
        client: redis.Redis,
        storage: Storage,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        found = rounds_of(client, storage, settings or Settings(), clock)
        self._rounds = [each for each in found if not isinstance(each, Reaper)]

    def run(self, *names: str) -> None:
        """Run each round once, or those with these *names*."""
        for each in self._rounds:
            if not names or each.name in names:
                each.run()
