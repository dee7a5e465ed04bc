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
LEAVE_S = 2.0
"""Seconds that a worker that leaves waits for its last heartbeat, and then for the store."""
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
        # In a container, host and process may be the same after every restart: the random digits
        # tell one worker from the one before, which the store may still list.
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
        self._presence = threading.Thread(target=self._keep_present, name="presence", daemon=True)

    def open(self) -> None:
        """
        Register with the store, ring for jobs that wait already, and prepare a trainer.

        Raises:
            RedisError: the store is away; nothing was started.
        """
        # All that needs the store comes first: where it is lost, `worker.main` opens the loop
        # again.
        self._check_machine()
        self._hello(self._client)
        # Rings for jobs that wait already may be gone. Besides, a worker learns its fingerprint
        # when it first hears one, and until then no job of its bits counts on it. If another worker
        # hears this one, the reaper rings again.
        doorbell.ring(self._client, self.device, self.id)
        self._presence.start()
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
        # First, for a heartbeat after `bye` would list this worker for 20 s more.
        self._gone.set()
        self._trainers.close()
        # One that has been sent may arrive after `bye`. There is no time for one that the store
        # does not answer.
        if self._presence.is_alive():
            self._presence.join(LEAVE_S)
        try:
            # RQ has raised the timeout of the other client's new connections to 55 s, ten more than
            # it waits for a message; a worker that leaves cannot wait for so long.
            with connect(self._settings.store_url, timeout_s=LEAVE_S) as client:
                send(client, calls.bye(self.id))
        except redis.RedisError as error:
            log.warning("%s could not deregister: %s", self.id, error)

    def drain(self) -> None:
        """Take no more jobs; let the present one be saved and given back."""
        # Before the trainer hears of it: how it ends is read with this flag (`_train`).
        self.draining = True
        self._trainers.drain()

    def work(self) -> None:
        """Train runnable jobs until there is none left, or the machine cannot train."""
        # Only once a trainer is ready is the fingerprint known, and until then nothing would renew
        # the lease of a job that was claimed.
        while not self.unhealthy_reason and self._is_ready():
            # Made before the call, which the client may send again: see `calls.claim`.
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
        # One that ends while its worker leaves is not taken for one that its job has killed.
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
            # Now, so that it gets ready while this process asks the store for the next job.
            if not self.draining:
                self._trainers.prepare()

    def _give_back(self, claim: Claim, why: str, cause: Cause = "left") -> None:
        try:
            released = send(self._client, calls.release(claim, why=why, cause=cause))
        # Another attempt has had the job since: there is nothing to give back.
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
                # Not while a job is trained, which meets a fault of the machine by itself.
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
            # Asking took a while: the trainer may have the next job by now, which is not to be
            # killed.
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
            # In this order: a ring that came before this would be answered without taking a job.
            self.unhealthy_reason = ""
            log.info("%s takes jobs again", self.id)
            self._hello(client)
            doorbell.ring(client, self.device, self.id)

    def _set_unhealthy(self, why: str, client: redis.Redis) -> None:
        self.unhealthy_reason = why
        log.error("%s takes no jobs: %s", self.id, why)
        self._hello(client)

    def _hello(self, client: redis.Redis) -> None:
        if self._gone.is_set():
            return
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
