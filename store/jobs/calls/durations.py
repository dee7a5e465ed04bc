"""The call that reads how long jobs took on workers like those that are alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optcore.plan.expected import Duration
from store.jobs.calls.replies import text
from store.redis.functions import Call


@dataclass(frozen=True)
class ClassDurations:
    """
    The durations of finished jobs on the workers of one class.

    Workers belong to one class if they have the same device, hardware and library versions.

    Attributes:
        device: device of the workers.
        fingerprint: digest of the workers' hardware and library versions.
        workers: number of live workers in the class.
        jobs: durations of the finished jobs, the latest first.
    """

    device: str
    fingerprint: str
    workers: int
    jobs: list[Duration]


def durations(device: str, like: str) -> Call[list[ClassDurations]]:
    """
    Return the durations of finished jobs with the digest *like*, for each class of workers.

    The result contains only classes with a live worker (see `ClassDurations`), in sorted order.

    Args:
        device: the device that the workers must have; ``auto`` for any.
        like: a digest of what determines the duration of a step. Only jobs whose plans have this
            digest count.
    """

    def read(reply: list[list[Any]]) -> list[ClassDurations]:
        # The server keeps classes in a set, which has no order.
        return [_class(each) for each in sorted(reply)]

    return Call("durations", [device, like], read, reads_only=True)


def _class(values: list[Any]) -> ClassDurations:
    device, fingerprint, workers, *entries = values
    return ClassDurations(
        text(device), text(fingerprint), workers, [_duration(entry) for entry in entries]
    )


def _duration(entry: bytes) -> Duration:
    milliseconds, steps = entry.split()
    return Duration(int(milliseconds) / 1000, int(steps))
