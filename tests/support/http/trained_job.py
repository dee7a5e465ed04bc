"""A job whose rows are appended while clients read them."""

from __future__ import annotations

import random
import time

import redis

from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.series import Row
from store.redis.functions import send
from tests.support.http.sessions import odd_rows
from tests.support.store.protocol import append, begin, submit

ROWS = 600


class TrainedJob:
    """A job that is trained while sessions read it, at random paces."""

    def __init__(self, store: redis.Redis, seed: int) -> None:
        self.store, self._seed = store, seed
        self._chosen = random.Random(seed)
        self.id = submit(store, training={"steps": ROWS, "device": "cpu"}, priority=100)
        self.rows: list[Row] = []

    def train(self, *, until: int = ROWS, from_step: int = 0) -> Claim:
        """Append rows in batches of any size up to row *until*, at the pace of a quick job."""
        attempt = f"{self._seed} {random.Random(self._seed + from_step + until).random()}"
        held = begin(self.store, attempt, worker=attempt, fingerprint=attempt)
        assert held.job_id == self.id
        self.rows = [*self.rows[:from_step], *odd_rows(attempt, until - from_step)]
        done = from_step
        while done < until:
            count = min(int(10 ** self._chosen.uniform(0, 1.8)), until - done)
            append(self.store, held, done, self.rows[done : done + count])
            done += count
            time.sleep(self._chosen.uniform(0, 0.1))
        return held

    def finish(self, held: Claim, *, rows: int = ROWS) -> None:
        """End it."""
        result = {"test_loss": 1.0, "test_accuracy": 0.5}
        call = calls.finish(held, rows=rows, digest=str(self._seed), result=result, artifacts={})
        send(self.store, call)
