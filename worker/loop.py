"""
A worker's loop: it claims jobs, one after another, and lets a trainer train each.

While its machine cannot train it claims none; a thread checks the machine meanwhile.
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
from store.redis.connect import connect
from store.redis.functions import Fenced, send
from store.settings import Settings
from worker.machine import Machine, folder_check
from worker.processes.trainers import MODULE, TrainerDied, Trainers

log = logging.getLogger(__name__)

HELLO_S = 5.0
"""Seconds between two heartbeats."""
GONE_AFTER_MS = 20_000
"""Milliseconds without a heartbeat after which a worker counts as gone."""
RETRY_S = 0.5
"""Seconds before another trainer is started in place of one that died before it was ready."""
ANSWER_S = 10.0
"""Seconds that the store gets to answer a heartbeat."""
POLL_S = 0.75
"""How often the worker polls whether its job is to be killed. A trainer in a long call into C does
not poll, and a kill has to take effect within two seconds."""


class WorkerLoop:
    """
    The jobs of one worker.

    Args:
        client: of the store.
        settings: of the service.
        device: what to train on: cpu or cuda.
        trainer_module: with the `main` that a trainer runs.

    Attributes:
        id: unique and readable: host, process, a few random digits.
        device: as given.
        draining: whether it takes no more jobs.
        unhealthy_reason: why its machine cannot train; empty if it can.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        device: str,
        *,
        trainer_module: str = MODULE,
    ) -> None:
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.device = device
        self.draining = False
        self.unhealthy_reason = ""
        self._client, self._settings = client, settings
        self._trainers = Trainers(device, trainer_module)
        self._machine = Machine(folder_check(settings))
        self._fingerprint = ""
        self._claimed: Claim | None = None
        self._gone, self._opened = threading.Event(), False

    def open(self) -> None:
        """
        Register with the store, ring for jobs that wait already, and prepare a trainer.

        Raises:
            RedisError: the store is away; nothing was started.
        """
        self._check_machine()
        self._hello(self._client)
        doorbell.ring(self._client, self.device, self.id)
        threading.Thread(target=self._keep_present, name="presence", daemon=True).start()
        self._trainers.prepare()
        self._opened = True

    @property
    def not_ready(self) -> str:
        """Why it takes no jobs now; empty if it does."""
        if not self._opened:
            return "it has not begun: its store is waited for"
        return "it is leaving" if self.draining else self.unhealthy_reason

    def close(self) -> None:
        """End the trainer and deregister."""
        self._gone.set()
        self._trainers.close()
        try:
            with connect(self._settings.store_url, timeout_s=2) as client:
                send(client, calls.bye(self.id))
        except redis.RedisError as error:
            log.warning("%s could not deregister: %s", self.id, error)

    def drain(self) -> None:
        """Take no more jobs; let the present one be saved and given back."""
        self.draining = True
        self._trainers.drain()

    def work(self) -> None:
        """Train runnable jobs until there is none left, or the machine cannot train."""
        while not self.unhealthy_reason and self._is_ready():
            token = secrets.token_hex(16)
            record = self._next_record(token)
            if record is None:
                return
            self._claimed = Claim(record.tenant, record.id, token)
            try:
                self._train(self._claimed, record)
            finally:
                self._claimed = None

    def _is_ready(self) -> bool:
        """Wait for a trainer that is ready; return whether to take a job: False when leaving."""
        while not self.draining:
            try:
                self._learn_fingerprint()
            except TrainerDied as death:
                log.warning("no job is taken: %s", death)
                time.sleep(RETRY_S)
            else:
                return not self.draining  # it may have changed meanwhile
        return False

    def _learn_fingerprint(self) -> None:
        """Wait for a trainer that is ready, and tell the store its fingerprint if that is new."""
        fingerprint = self._trainers.fingerprint()
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            self._hello(self._client)

    def _next_record(self, token: str) -> Record | None:
        """Claim the next runnable job; return its record, or None if there is none."""
        claim = calls.claim(
            self.id,
            device=self.device,
            fingerprint=self._fingerprint,
            token=token,
            lease_ms=int(self._settings.lease_s * 1000),
        )
        return send(self._client, claim)

    def _train(self, claim: Claim, record: Record) -> None:
        log.info("%s: attempt %d begins", record.id, record.attempt)
        try:
            ended = self._trainers.train(claim, record)
        except TrainerDied as death:
            log.warning("%s: %s", record.id, death)
            self._give_back(claim, str(death), "left" if self.draining else "crashed")
        except BaseException:
            # A second signal: leave at once, but give the job back.
            self._trainers.close()
            self._give_back(claim, "the worker was told to leave at once")
            raise
        else:
            log.info("%s: attempt %d ended: %s", record.id, record.attempt, ended.outcome)
            if ended.fault:  # before the doorbell rings: it is not for this worker
                self._set_unhealthy(ended.fault, self._client)
            self._ring(ended.wakeups, claim)
        finally:
            if not self.draining:
                self._trainers.prepare()

    def _give_back(self, claim: Claim, why: str, cause: Cause = "left") -> None:
        try:
            released = send(self._client, calls.release(claim, why=why, cause=cause))
        except Fenced:
            return
        self._ring(released.wakeups, claim)

    def _ring(self, devices: Sequence[str], claim: Claim) -> None:
        for device in devices:
            try:
                doorbell.ring(self._client, device, claim.job_id)
            except redis.RedisError as error:  # the reaper rings again
                log.warning("the doorbell for %s could not be rung: %s", device, error)

    def _keep_present(self) -> None:
        # A connection of its own: the main thread's is blocked in a read of the queue.
        client = connect(self._settings.store_url, timeout_s=ANSWER_S)
        hello_at = time.monotonic() + HELLO_S
        while not self._gone.wait(POLL_S):
            try:
                self._kill_if_requested(client)
                due = time.monotonic() >= hello_at
                if self.unhealthy_reason or (due and self._claimed is None):
                    self._check_machine_again(client)
                if due:
                    hello_at = time.monotonic() + HELLO_S
                    self._hello(client)
            except redis.RedisError as error:
                log.warning("%s could not reach the store: %s", self.id, error)

    def _kill_if_requested(self, client: redis.Redis) -> None:
        """Kill the trainer if its job is to be killed; the main thread gets a `TrainerDied`."""
        claim = self._claimed
        if claim is None:
            return
        with contextlib.suppress(Fenced):
            requested_action = send(client, calls.wanted(claim))
            if requested_action == "kill" and self._claimed is claim:
                self._trainers.kill()

    def _check_machine(self) -> None:
        self.unhealthy_reason = self._machine.problem()
        if self.unhealthy_reason:
            log.error("%s takes no jobs: %s", self.id, self.unhealthy_reason)

    def _check_machine_again(self, client: redis.Redis) -> None:
        """Check the machine; if it can train again, ring for jobs that wait."""
        before, now = self.unhealthy_reason, self._machine.problem()
        if now and now != before:
            self._set_unhealthy(now, client)
        elif before and not now:
            self.unhealthy_reason = ""
            log.info("%s takes jobs again", self.id)
            self._hello(client)
            doorbell.ring(client, self.device, self.id)

    def _set_unhealthy(self, why: str, client: redis.Redis) -> None:
        self.unhealthy_reason = why
        log.error("%s takes no jobs: %s", self.id, why)
        self._hello(client)

    def _hello(self, client: redis.Redis) -> None:
        hello = calls.hello(
            self.id,
            ttl_ms=GONE_AFTER_MS,
            claim=self._claimed,
            device=self.device,
            fingerprint=self._fingerprint,
            host=socket.gethostname(),
            pid=os.getpid(),
            unwell=self.unhealthy_reason,
        )
        send(client, hello)
