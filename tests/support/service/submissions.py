"""Many clients that post jobs to a service that is killed meanwhile, and do not give up."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from optserve.client import Client
from optserve.local.stack import Stack
from tests.support.machine.processes import alive, kill

CLIENTS = 32
PATIENCE_S = 120.0
AWAY = (502, 503)


@dataclass
class Answers:
    """
    What the service said.

    Attributes:
        ids: of each key, those that came with 201.
        conflicts: status of each body that did not belong to its key.
        failed: what went wrong for good.
    """

    ids: dict[str, set[str]] = field(default_factory=dict)
    conflicts: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def post_all(
    running: Stack, spec: dict[str, Any], *, keys: int, copies: int, kills: Sequence[str], seed: int
) -> Answers:
    """
    Post *copies* of a job for each of so many keys, all at once, while processes are killed.

    Args:
        running: the service; processes that died are started again.
        spec: the job.
        keys: how many different ones.
        copies: of each; one more has another body.
        kills: names of the processes to kill, in this order, spread over the submissions.
        seed: of the moments.
    """
    answers = Answers({f"{seed}-{i}": set() for i in range(keys)})
    clients = threading.Thread(
        target=lambda: asyncio.run(_post_all(running.url, spec, copies, answers)), daemon=True
    )
    clients.start()
    draw = random.Random(seed)
    left = list(kills)
    # Only this thread may start processes: they end with the thread that started them.
    while clients.is_alive():
        done = sum(1 for ids in answers.ids.values() if ids)
        due = done >= keys * (len(kills) - len(left)) / max(1, len(kills))
        if left and due and _is_ready(running.url):
            time.sleep(draw.uniform(0, 0.2))
            victim = running.processes()[left.pop(0)]
            assert alive(victim)
            kill(victim)
        running.supervise()
        time.sleep(0.02)
    assert not left, f"{len(left)} kills found nobody"
    while not _is_ready(running.url):
        running.supervise()
        time.sleep(0.02)
    return answers


def _is_ready(url: str) -> bool:
    with Client(url) as client:
        return client.ready()


async def _post_all(url: str, spec: dict[str, Any], copies: int, answers: Answers) -> None:
    slots = asyncio.Semaphore(CLIENTS)
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=url, timeout=10, limits=limits) as client:

        async def one(key: str) -> None:
            async with slots:
                found = await asyncio.gather(
                    *(_insisting(client, key, spec) for _ in range(copies)),
                    return_exceptions=True,
                )
                other = await _insisting(client, key, {**spec, "name": "another body"})
            for answer in found:
                if isinstance(answer, httpx.Response) and answer.status_code == httpx.codes.CREATED:
                    answers.ids[key].add(answer.json()["id"])
                else:
                    answers.failed.append(f"{key}: {answer}")
            answers.conflicts.append(other.status_code)

        await asyncio.gather(*(one(key) for key in answers.ids))


async def _insisting(client: httpx.AsyncClient, key: str, spec: dict[str, Any]) -> httpx.Response:
    """Return the answer to a submission, which is repeated while there is none."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = await client.post("/v1/jobs", json=spec, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        else:
            if answer.status_code not in AWAY or time.monotonic() > deadline:
                return answer
        await asyncio.sleep(0.1)
