"""The part of a worker that receives doorbell messages from RQ. This module never imports torch."""

from __future__ import annotations

from typing import Any, ClassVar

import redis
from rq.job import Job
from rq.worker import SimpleWorker

from store.redis.doorbell import ANSWER
from worker.loop import WorkerLoop


class UnknownMessage(Exception):
    """A message names a function other than the doorbell's `answer`."""


class Message(Job):
    """
    An RQ job that can only call the doorbell's `answer`, whatever Redis contains.

    With RQ's own class of jobs, write access to Redis is enough to run code in the worker: RQ
    imports and calls the function and the callbacks that a job names. A message has no callbacks,
    and its only allowed function is `answer`.
    """

    # These attributes replace RQ's properties, which import whatever name the message contains. RQ
    # 3 calls callbacks without the methods that RQ 2 used, so refusing them there is not enough.
    success_callback = failure_callback = stopped_callback = None

    def perform(self) -> Any:  # noqa: ANN401  as RQ declares it
        """Call `answer`; raise `UnknownMessage` if the message names another function."""
        if self.func_name != ANSWER:
            raise UnknownMessage(
                f"a message must name the function {ANSWER}, got {self.func_name!r}"
            )
        return super().perform()

    def send_webhooks(self, *_: object, **__: object) -> None:
        """Do nothing: messages have no webhooks."""


class Listener(SimpleWorker):
    """
    An RQ worker that calls `answer` in the main thread for each message.

    Attributes:
        loop: the worker loop of this process.
    """

    # SimpleWorker, and not RQ's Worker, which forks for each message: the kernel ends the fork
    # server together with the thread that started it. So the server has to be started from the main
    # thread, where it outlives the message.
    job_class = Message
    loop: ClassVar[WorkerLoop]

    def _set_ip_address(self, connection: redis.Redis) -> None:
        """
        Set a placeholder as the worker's address; nothing reads the address.

        RQ's own method reads the address from CLIENT LIST, and redis-py fails to parse the reply if
        the path of a Unix socket contains a space or a =.
        """
        del connection
        self.ip_address = "unknown"

    def handle_warm_shutdown_request(self) -> None:
        """On SIGTERM or SIGINT, let the trainer save its run and release the job."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        # This is a signal handler, so `drain` only sets flags and sends signals. RQ then ends an
        # idle worker at once, and a busy one when `answer` returns.
        self.loop.drain()


def answer(job_id: str) -> None:
    """
    Claim and train jobs until none is runnable.

    RQ calls this function for each message. *job_id*, the job that the message is about, is not
    used: Redis decides which job is next.
    """
    del job_id
    Listener.loop.work()
