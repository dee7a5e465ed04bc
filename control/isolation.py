"""Members of a round, each seen to by itself: one that cannot be handled does not end the round."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from store.errors import JobError
from store.jobs import calls
from store.redis.functions import UNAVAILABLE, send
from store.storage.usable import FULL

log = logging.getLogger(__name__)


@contextmanager
def isolated(client: redis.Redis, kind: str, member: str) -> Iterator[None]:
    """
    Let what is wrong with a member of a round be its own matter: it is set aside, and told of.

    A store that is away, or a storage that is full, is not the member's matter, and ends the step.

    Args:
        client: of the store.
        kind: of what is done.
        member: mostly ``tenant/id`` of a job.
    """
    try:
        yield
    except UNAVAILABLE:
        raise
    # Whatever it is, the other members must be seen to, and somebody must hear of it.
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in FULL
        if full:
            raise
        known = isinstance(error, OSError | JobError)
        log.warning("%s of %s: %s", kind, member, error, exc_info=not known)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        send(client, calls.set_aside(kind, member, why=why))
    else:
        send(client, calls.put_back(kind, member))
