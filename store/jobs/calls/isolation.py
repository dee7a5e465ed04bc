"""Calls that set aside jobs, and other members of sets in Redis, that could not be processed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.jobs.calls.replies import text
from store.jobs.record import moment
from store.redis.functions import Call


@dataclass(frozen=True)
class SetAside:
    """
    A member of a set in Redis, mostly a job, that the service could not process.

    Attributes:
        kind: the kind of work that failed: lease, deadline, pending, ended, archive, history,
            files, size, removed, label, class or worker.
        member: the member; in most sets ``tenant/id`` of a job.
        since: the time of the first failure.
        tries: the number of failures so far.
        why: the error of the latest failure.
    """

    kind: str
    member: str
    since: datetime
    tries: int
    why: str


def set_aside(kind: str, member: str, *, why: str) -> Call[None]:
    """Record that the service failed to process a member; *why* is the error. See `SetAside`."""
    return Call("set_aside", [kind, member, why], lambda reply: None)


def put_back(kind: str, member: str) -> Call[None]:
    """Record that the service has processed a member, which is no longer set aside."""
    return Call("put_back", [kind, member], lambda reply: None)


def set_aside_members() -> Call[list[SetAside]]:
    """Return all members that are set aside."""

    def read(reply: list[Any]) -> list[SetAside]:
        return [
            _member(text(name), value) for name, value in zip(reply[::2], reply[1::2], strict=True)
        ]

    return Call("set_aside_members", [], read, reads_only=True)


def _member(name: str, value: bytes) -> SetAside:
    kind, _, member = name.partition(" ")
    said = json.loads(value)
    since = moment(said["since"])
    assert since is not None
    return SetAside(kind, member, since, said["tries"], said["why"])
