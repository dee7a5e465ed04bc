"""What could not be handled: members of sets that are set aside, so that the others are seen to."""

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
    A member of a set that could not be handled.

    Attributes:
        kind: of the set: lease, deadline, pending, ended, archive, history, files, size,
            removed, label, class, worker.
        member: mostly ``tenant/id`` of a job.
        since: when it was first tried.
        tries: how often.
        why: what went wrong, the last time.
    """

    kind: str
    member: str
    since: datetime
    tries: int
    why: str


def set_aside(kind: str, member: str, *, why: str) -> Call[None]:
    """Say that a member of a set cannot be handled, and why."""
    return Call("set_aside", [kind, member, why], lambda reply: None)


def put_back(kind: str, member: str) -> Call[None]:
    """Say that a member was handled: it is no longer set aside."""
    return Call("put_back", [kind, member], lambda reply: None)


def set_aside_members() -> Call[list[SetAside]]:
    """Return what is set aside."""

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
