"""The RQ side of a worker: it hears the bell and hands the work to a trainer. Never torch here."""

from __future__ import annotations

from typing import Any, ClassVar

import redis
from rq.job import Job
from rq.worker import SimpleWorker

from store.redis.doorbell import ANSWER
from worker.loop import Post


class UnknownMessage(Exception):
    """A message that names anything but the one function there is."""


class Message(Job):
    """
    An RQ job that can only be a ring of the bell, whatever somebody wrote into Redis.

    RQ would import and call any name it finds there: as the function, or as a callback. A message
    has none of these, in whatever way RQ looks for them.
    """

    success_callback = failure_callback = stopped_callback = None

    def perform(self) -> Any:  # noqa: ANN401  as RQ declares it
        """Answer, or refuse."""
        if self.func_name != ANSWER:
            raise UnknownMessage(f"a message may only name {ANSWER}, got {self.func_name!r}")
        return super().perform()

    def send_webhooks(self, *_: object, **__: object) -> None:
        """Send nothing."""


class Listener(SimpleWorker):
    """
    RQ's worker, which runs `answer` in the main thread.

    Attributes:
        post: the worker that listens; one per process.
    """

    job_class = Message
    post: ClassVar[Post]

    def _set_ip_address(self, connection: redis.Redis) -> None:
        """
        Set no address: nobody asks RQ for it.

        redis-py cannot read that of a socket in a folder whose name has a blank or a = in it.
        """
        del connection
        self.ip_address = "unknown"

    def handle_warm_shutdown_request(self) -> None:
        """SIGTERM or SIGINT: let the trainer save its run and give it back."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        self.post.drain()


def answer(job_id: str) -> None:
    """Do what there is to do; *job_id* rang, but the next runnable job is taken."""
    del job_id
    Listener.post.work()
