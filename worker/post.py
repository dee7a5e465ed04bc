"""A worker's post: it claims jobs, one after another, and sees each through with a trainer."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading

import redis

from jobs import doorbell, functions
from jobs.functions import Fenced, Held, send
from jobs.record import Record
from jobs.settings import Settings
from worker.trainers import TrainerDied, Trainers

log = logging.getLogger(__name__)

HELLO_S = 5.0
"""Seconds between two signs of life."""
GONE_AFTER_MS = 20_000
"""Milliseconds without one after which a worker counts as gone."""


class Post:
    """
    One worker: its name, its device, its trainer.

    Attributes:
        id: unique, and readable: host, process, a few random digits.
        device: what it trains on: cpu or cuda.
        draining: whether it takes no more jobs.
    """

    def __init__(self, client: redis.Redis, settings: Settings, device: str) -> None:
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.device = device
        self.draining = False
        self._client, self._settings = client, settings
        self._trainers = Trainers(device)
        self._gone = threading.Event()

    def open(self) -> None:
        """Say hello, and go on saying so; prepare a trainer; ring for what waits already."""
        self._hello(self._client)
        threading.Thread(target=self._stay_present, name="presence", daemon=True).start()
        self._trainers.prepare()
        doorbell.ring(self._client, self.device, self.id)

    def close(self) -> None:
        """End the trainer and say goodbye."""
        self._gone.set()
        self._trainers.close()
        try:
            with redis.from_url(self._settings.store_url, socket_timeout=2, retry=None) as client:
                send(client, functions.bye(self.id))
        except redis.RedisError as error:
            log.warning("%s could not say goodbye: %s", self.id, error)

    def drain(self) -> None:
        """Take no more jobs; let the present one be saved and given back."""
        self.draining = True
        self._trainers.drain()

    def work(self) -> None:
        """Take runnable jobs until there is none left."""
        while not self.draining:
            token = secrets.token_hex(16)
            lease_ms = int(self._settings.lease_s * 1000)
            record = send(
                self._client, functions.claim(self.id, self.device, token, lease_ms=lease_ms)
            )
            if record is None:
                return
            self._see_through(record, Held(record.tenant, record.id, token))

    def _see_through(self, record: Record, held: Held) -> None:
        log.info("%s: attempt %d begins", record.id, record.attempt)
        try:
            outcome = self._trainers.train(held)
        except TrainerDied as death:
            log.warning("%s: %s", record.id, death)
            self._give_back(held, str(death), crashed=not self.draining)
        except BaseException:
            # A second signal: leave at once, but not with the job in hand.
            self._trainers.close()
            self._give_back(held, "the worker was told to leave at once", crashed=False)
            raise
        else:
            log.info("%s: attempt %d ended: %s", record.id, record.attempt, outcome)
        finally:
            if not self.draining:
                self._trainers.prepare()

    def _give_back(self, held: Held, why: str, *, crashed: bool) -> None:
        try:
            moved = send(self._client, functions.release(held, why=why, crashed=crashed))
        except Fenced:
            return
        for device in moved.bells:
            doorbell.ring(self._client, device, held.job_id)

    def _stay_present(self) -> None:
        # A connection of its own: the main thread's is busy waiting for the bell.
        client = redis.from_url(self._settings.store_url)
        while not self._gone.wait(HELLO_S):
            try:
                self._hello(client)
            except redis.RedisError as error:
                log.warning("%s could not say hello: %s", self.id, error)

    def _hello(self, client: redis.Redis) -> None:
        hello = functions.hello(
            self.id,
            ttl_ms=GONE_AFTER_MS,
            device=self.device,
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        send(client, hello)
