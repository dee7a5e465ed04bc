"""Reads how long finished jobs with similar plans took, on each kind of machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optcore.plan.expected import Duration
from store.redis import keys


async def read_durations(
    client: Any,  # noqa: ANN401  redis-py has unions for all forms
    like: str,
    fingerprints: Sequence[str],
) -> list[list[Duration]]:
    """
    Return the durations of finished jobs with similar plans, for each of *fingerprints*.

    Args:
        client: the Redis client.
        like: the likeness of the plans: a digest of what determines the duration of a step.
        fingerprints: digests of hardware and library versions.
    """
    pipe = client.pipeline(transaction=False)
    for fingerprint in fingerprints:
        pipe.lrange(keys.DURATIONS % (like, fingerprint), 0, -1)
    return [[_duration(entry) for entry in entries] for entries in await pipe.execute()]


def _duration(entry: bytes) -> Duration:
    milliseconds, steps = entry.split()
    return Duration(int(milliseconds) / 1000, int(steps))
