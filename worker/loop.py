"""
A worker's post: it claims jobs, one after another, and sees each through with a trainer.

It claims none while its machine is not fit to train on; a thread looks whether it is again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence

import redis

from store.jobs import calls
from store.jobs.calls import Cause, Claim
from store.jobs.record import Record
from store.redis import doorbell
from store.redis.functions import Fenced, send
from store.settings import Settings
from worker.machine import Machine, folders
from worker.processes.trainers import TrainerDied, Trainers

log = logging.getLogger(__name__)

HELLO_S = 5.0
"""Seconds between two signs of life."""
GONE_AFTER_MS = 20_000
"""Milliseconds without one after which a worker counts as gone."""
AGAIN_S = 0.5
"""Seconds before another trainer is started in place of one that died before it was ready."""
ANSWER_S = 10.0
"""Seconds that the store gets to answer a sign of life."""
POLL_S = 0.75
"""Seconds between two looks at whether the job in hand is to be killed: its trainer may hear of
nothing."""


class Post:
    """
    One worker: its name, its device, its trainer.

    Attributes:
        id: unique, and readable: host, process, a few random digits.
        device: what it trains on: cpu or cuda.
        draining: whether it takes no more jobs.
        unwell: why its machine is not fit to train on; empty if it is.
    """

    def __init__(self, client: redis.Redis, settings: Settings, device: str) -> None:
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.device = device
        self.draining = False
        self.unwell = ""
        self._client, self._settings = client, settings
        self._trainers = Trainers(device)
        self._machine = Machine(folders(settings))
        self._fingerprint = ""
        self._held: Claim | None = None
        self._gone, self._opened = threading.Event(), False

    def open(self) -> None:
        """
        Say hello, and go on saying so; ring for what waits already; prepare a trainer.

        Raises:
            RedisError: the store is away; nothing was begun.
        """
        self._look_at_machine()
        self._hello(self._client)
        doorbell.ring(self._client, self.device, self.id)
        threading.Thread(target=self._stay_present, name="presence", daemon=True).start()
        self._trainers.prepare()
        self._opened = True

    @property
    def why_not(self) -> str:
        """Why it takes no jobs now; empty if it does."""
        if not self._opened:
            return "it has not begun: its store is waited for"
        return "it is leaving" if self.draining else self.unwell

    def close(self) -> None:
        """End the trainer and say goodbye."""
        self._gone.set()
        self._trainers.close()
        try:
            with redis.from_url(self._settings.store_url, socket_timeout=2, retry=None) as client:
                send(client, calls.bye(self.id))
        except redis.RedisError as error:
            log.warning("%s could not say goodbye: %s", self.id, error)

    def drain(self) -> None:
        """Take no more jobs; let the present one be saved and given back."""
        self.draining = True
        self._trainers.drain()

    def work(self) -> None:
        """Take runnable jobs until there is none left, or the machine is not fit to train on."""
        while not self.unwell and self._is_ready():
            token = secrets.token_hex(16)
            record = self._claim(token)
            if record is None:
                return
            self._held = Claim(record.tenant, record.id, token)
            try:
                self._see_through(record, self._held)
            finally:
                self._held = None

    def _is_ready(self) -> bool:
        """Wait for a trainer that is ready; return whether to take a job: not when leaving."""
        while not self.draining:
            try:
                self._know_fingerprint()
            except TrainerDied as death:
                log.warning("no job is taken: %s", death)
                time.sleep(AGAIN_S)
            else:
                return not self.draining  # since then
        return False

    def _know_fingerprint(self) -> None:
        """Wait for a trainer that is ready, and say what its bits depend on if that is news."""
        fingerprint = self._trainers.fingerprint()
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._hello(self._client)

    def _claim(self, token: str) -> Record | None:
        claim = calls.claim(
            self.id,
            device=self.device,
            fingerprint=self._fingerprint,
            token=token,
            lease_ms=int(self._settings.lease_s * 1000),
        )
        return send(self._client, claim)

    def _see_through(self, record: Record, held: Claim) -> None:
        log.info("%s: attempt %d begins", record.id, record.attempt)
        try:
            ended = self._trainers.train(held)
        except TrainerDied as death:
            log.warning("%s: %s", record.id, death)
            self._give_back(held, str(death), "left" if self.draining else "crashed")
        except BaseException:
            # A second signal: leave at once, but not with the job in hand.
            self._trainers.close()
            self._give_back(held, "the worker was told to leave at once")
            raise
        else:
            log.info("%s: attempt %d ended: %s", record.id, record.attempt, ended.outcome)
            if ended.fault:  # first: the bell is not for this worker
                self._be_unwell(ended.fault, self._client)
            self._ring(ended.bells, held)
        finally:
            if not self.draining:
                self._trainers.prepare()

    def _give_back(self, held: Claim, why: str, cause: Cause = "left") -> None:
        try:
            moved = send(self._client, calls.release(held, why=why, cause=cause))
        except Fenced:
            return
        self._ring(moved.bells, held)

    def _ring(self, devices: Sequence[str], held: Claim) -> None:
        for device in devices:
            try:
                doorbell.ring(self._client, device, held.job_id)
            except redis.RedisError as error:  # the reaper rings again
                log.warning("the bell for %s could not be rung: %s", device, error)

    def _stay_present(self) -> None:
        # A connection of its own: the main thread's is busy waiting for the bell.
        client = redis.from_url(self._settings.store_url, socket_timeout=ANSWER_S)
        hello_at = time.monotonic() + HELLO_S
        while not self._gone.wait(POLL_S):
            try:
                self._kill_if_wanted(client)
                due = time.monotonic() >= hello_at
                if self.unwell or (due and self._held is None):
                    self._look_again(client)
                if due:
                    hello_at = time.monotonic() + HELLO_S
                    self._hello(client)
            except redis.RedisError as error:
                log.warning("%s could not reach the store: %s", self.id, error)

    def _kill_if_wanted(self, client: redis.Redis) -> None:
        """End the trainer if its job is to be killed; the main thread hears of it, and goes on."""
        held = self._held
        if held is None:
            return
        with contextlib.suppress(Fenced):
            wish = send(client, calls.wanted(held))
            if wish == "kill" and self._held is held:
                self._trainers.kill()

    def _look_at_machine(self) -> None:
        self.unwell = self._machine.look()
        if self.unwell:
            log.error("%s takes no jobs: %s", self.id, self.unwell)

    def _look_again(self, client: redis.Redis) -> None:
        """Find out whether the machine is well; if it is again, ring for what waits."""
        before, now = self.unwell, self._machine.look()
        if now and now != before:
            self._be_unwell(now, client)
        elif before and not now:
            self.unwell = ""
            log.info("%s takes jobs again", self.id)
            self._hello(client)
            doorbell.ring(client, self.device, self.id)

    def _be_unwell(self, why: str, client: redis.Redis) -> None:
        self.unwell = why
        log.error("%s takes no jobs: %s", self.id, why)
        self._hello(client)

    def _hello(self, client: redis.Redis) -> None:
        hello = calls.hello(
            self.id,
            ttl_ms=GONE_AFTER_MS,
            claim=self._held,
            device=self.device,
            fingerprint=self._fingerprint,
            host=socket.gethostname(),
            pid=os.getpid(),
            unwell=self.unwell,
        )
        send(client, hello)
