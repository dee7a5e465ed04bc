"""
The loop of a worker: it claims one job after another, and has each of them trained by a trainer.

A trainer is a process that the worker keeps ready. While the machine cannot train, the worker
claims no jobs, and a thread checks the machine about once a second.
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
"""Seconds to wait before replacing a trainer that died before it was ready."""
ANSWER_S = 10.0
"""Seconds to wait for the reply to a heartbeat."""
LEAVE_S = 2.0
"""Seconds that a stopping worker waits for a heartbeat in flight, then for Redis to remove it."""
POLL_S = 0.75
"""Seconds between two checks by the worker for a request to kill its job. The trainer checks too,
but not during a long call into C, and a kill has to take effect within two seconds."""


class WorkerLoop:
    """
    Claims jobs for one worker, and has them trained.

    Args:
        client: the Redis client.
        settings: the settings of the service.
        device: the device to train on: cpu or cuda.
        trainer_module: the name of the module whose `main` a trainer process runs.

    Attributes:
        id: the worker's id: host name, process id and a few random digits.
        device: the device to train on.
        draining: whether the worker is stopping and claims no more jobs.
        unhealthy_reason: why the machine cannot train; empty if it can.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        device: str,
        *,
        trainer_module: str = MODULE,
    ) -> None:
        # In a container, host name and process id may be the same after every restart: the random
        # digits distinguish this worker from the previous one, which Redis may still list.
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
        Register the worker in Redis, ring the doorbell for queued jobs, and start a trainer.

        Raises:
            RedisError: Redis is unavailable; no thread or process was started.
        """
        # Everything that needs Redis comes first: if the connection is lost, `worker.main` calls
        # this again.
        self._check_machine()
        self._hello(self._client)
        # The messages for jobs that are queued already may be gone. Besides, a worker learns its
        # fingerprint when it receives its first message, and until then it does not count for jobs
        # that need this fingerprint. If another worker receives this message, the reaper rings
        # again.
        doorbell.ring(self._client, self.device, self.id)
        self._presence.start()
        self._trainers.prepare()
        self._opened = True

    @property
    def not_ready(self) -> str:
        """Why the worker claims no jobs now; empty if it claims jobs."""
        if not self._opened:
            return "the worker is starting and waits for Redis"
        return "the worker is stopping" if self.draining else self.unhealthy_reason

    def close(self) -> None:
        """End the trainer, and remove the worker's record from Redis."""
        # First, since a heartbeat after `bye` would list this worker for another 20 s.
        self._gone.set()
        self._trainers.close()
        # A heartbeat in flight could arrive after `bye`, so its end is awaited; but not for long,
        # in case the store does not respond.
        if self._presence.is_alive():
            self._presence.join(LEAVE_S)
        try:
            # RQ has raised the timeout for new connections of the other client to 55 s, ten more
            # than it waits for a message; a worker that is stopping cannot wait that long.
            with connect(self._settings.store_url, timeout_s=LEAVE_S) as client:
                send(client, calls.bye(self.id))
        except redis.RedisError as error:
            log.warning("%s could not deregister: %s", self.id, error)

    def drain(self) -> None:
        """Claim no more jobs, and tell the trainer to save its run and release its job."""
        # Set before the trainer is told: `_train` interprets the trainer's end with this flag.
        self.draining = True
        self._trainers.drain()

    def work(self) -> None:
        """Train jobs until none is runnable, the machine cannot train, or the worker must stop."""
        # The fingerprint is known only once a trainer is ready; and until then, nothing would renew
        # the lease of a claimed job.
        while not self.unhealthy_reason and self._is_ready():
            # Created before the call, which the client may send again: see `calls.claim`.
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
        """Wait until a trainer is ready; return True, or False if the worker is stopping."""
        while not self.draining:
            try:
                self._learn_fingerprint()
            except TrainerDied as death:
                log.warning("no job is claimed: %s", death)
                time.sleep(RETRY_S)
            else:
                return not self.draining  # may have been set meanwhile
        return False

    def _learn_fingerprint(self) -> None:
        """Wait until a trainer is ready; if its fingerprint is new, send it to Redis."""
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
        # If the worker is stopping, the job is not blamed for the trainer's death.
        except TrainerDied as death:
            log.warning("%s: %s", record.id, death)
            self._give_back(claim, str(death), "left" if self.draining else "crashed")
        except BaseException:
            # A second signal: stop at once, but release the job.
            self._trainers.close()
            self._give_back(claim, "the worker was told to stop at once")
            raise
        else:
            log.info("%s: attempt %d ended: %s", record.id, record.attempt, ended.outcome)
            if ended.fault:  # before the doorbell rings, since this worker must not claim the job
                self._set_unhealthy(ended.fault, self._client)
            self._ring(ended.wakeups, claim)
        finally:
            # Now, so that the next trainer gets ready while this process claims the next job.
            if not self.draining:
                self._trainers.prepare()

    def _give_back(self, claim: Claim, why: str, cause: Cause = "left") -> None:
        try:
            released = send(self._client, calls.release(claim, why=why, cause=cause))
        # The job was taken from this worker before, so there is nothing to release.
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
        # A separate client, with shorter timeouts: the main thread waits for messages with its own.
        client = connect(self._settings.store_url, timeout_s=ANSWER_S)
        hello_at = time.monotonic() + HELLO_S
        while not self._gone.wait(POLL_S):
            try:
                self._kill_if_requested(client)
                due = time.monotonic() >= hello_at
                # Not while a job is being trained: its attempt notices faults of the machine.
                if self.unhealthy_reason or (due and self._claimed is None):
                    self._check_machine_again(client)
                if due:
                    hello_at = time.monotonic() + HELLO_S
                    self._hello(client)
            except redis.RedisError as error:
                log.warning("%s could not reach the store: %s", self.id, error)

    def _kill_if_requested(self, client: redis.Redis) -> None:
        """Kill the trainer if a client asked to kill the job; `work` then releases the job."""
        claim = self._claimed
        if claim is None:
            return
        with contextlib.suppress(Fenced):
            requested_action = send(client, calls.wanted(claim))
            # The call took a while: by now the trainer may have the next job, which must not be
            # killed.
            if requested_action == "kill" and self._claimed is claim:
                self._trainers.kill()

    def _check_machine(self) -> None:
        self.unhealthy_reason = self._machine.problem()
        if self.unhealthy_reason:
            log.error("%s takes no jobs: %s", self.id, self.unhealthy_reason)

    def _check_machine_again(self, client: redis.Redis) -> None:
        """Check the machine; if it can train again, ring the doorbell for queued jobs."""
        before, now = self.unhealthy_reason, self._machine.problem()
        if now and now != before:
            self._set_unhealthy(now, client)
        elif before and not now:
            # Set before the ring: a message received earlier would not make `work` claim a job.
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
