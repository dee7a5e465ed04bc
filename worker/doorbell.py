"""The RQ side of a worker: it listens to the doorbell. No torch here: imports take seconds."""

from __future__ import annotations

from typing import Any, ClassVar

import redis
from rq.job import Job
from rq.worker import SimpleWorker

from store.redis.doorbell import ANSWER
from worker.loop import WorkerLoop


class UnknownMessage(Exception):
    """A message that names another function than the doorbell's."""


class Message(Job):
    """
    An RQ job that can only be a ring of the doorbell, whatever is in Redis.

    RQ imports and calls any name that it finds in a job, as the function or as a callback, so that
    write access to Redis would be a way to run code here. A message has no callbacks, and only one
    function is allowed.
    """

    # Attributes in place of RQ's properties, which import whatever name the message has. RQ 3 calls
    # callbacks past the methods that release 2 called, so refusing them there is not enough.
    success_callback = failure_callback = stopped_callback = None

    def perform(self) -> Any:  # noqa: ANN401  as RQ declares it
        """Answer the doorbell, or refuse."""
        if self.func_name != ANSWER:
            raise UnknownMessage(f"a message may only name {ANSWER}, got {self.func_name!r}")
        return super().perform()

    def send_webhooks(self, *_: object, **__: object) -> None:
        """Send no webhooks."""


class Listener(SimpleWorker):
    """
    RQ's worker, which calls `answer` in the main thread.

    Attributes:
        loop: of this process's worker.
    """

    # SimpleWorker, and not RQ's Worker, which forks for each message: the kernel ends a process
    # with the thread that started it, so the fork server has to be started from this, the main
    # thread, and must outlive the message.
    job_class = Message
    loop: ClassVar[WorkerLoop]

    def _set_ip_address(self, connection: redis.Redis) -> None:
        """
        Set no address: it is not used.

        redis-py fails to read that of a Unix socket whose path has a blank or a = in it.
        """
        del connection
        self.ip_address = "unknown"

    def handle_warm_shutdown_request(self) -> None:
        """On SIGTERM or SIGINT, let the trainer save its run and give it back."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        # This is a signal handler, so `drain` only sets flags and sends signals. RQ then ends the
        # worker at once if it is idle, else when `answer` returns.
        self.loop.drain()


def answer(job_id: str) -> None:
    """Take runnable jobs; *job_id* rang, but the store decides which one is next."""
    del job_id
    Listener.loop.work()
