"""
Measures a million steps of every schedule, and a preview of 10,000 steps.

``python -m benchmarks.schedules`` prints for each schedule the best of five CPU times, in
milliseconds, and its ratio to the floor: one numpy cosine of as many float64 numbers, measured just
before. It exits with 1 if a schedule takes more than 50 ms, or the median preview more than 10 ms.
``python -m benchmarks.schedules noise "cycle cosine"`` measures only the schedules whose names
begin with one of these words, and no preview.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import optcore
from api.app import create_app
from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.make import parse_schedule
from optcore.spec.errors import SpecError
from store.settings import Settings

STEPS, PER_EPOCH = 1_000_000, 1000
LIMIT_MS, PREVIEW_LIMIT_MS = 50.0, 10.0


def main() -> int:
    """Print the table; return 1 if something is too slow, else 0."""
    wanted = tuple(sys.argv[1:])
    t = np.arange(STEPS)
    numbers = np.linspace(0, 100, STEPS)
    slow = 0
    for name, spec in specs():
        if wanted and not name.startswith(wanted):
            continue
        floor = best(lambda: np.cos(numbers))
        schedule = optcore.make_schedule(spec, lr=0.1, total_steps=STEPS, steps_per_epoch=PER_EPOCH)
        took = best(lambda: schedule(t))  # noqa: B023  called at once
        slow += took > LIMIT_MS
        print(f"{name:<60} {took:7.1f} ms  {took / floor:5.1f} x one cosine")
    if wanted:
        return int(slow > 0)
    median = asyncio.run(preview())
    print(f"{'preview of 10,000 steps, at the client':<36} {median:5.1f} ms  p50 of 200")
    return int(slow > 0 or median > PREVIEW_LIMIT_MS)


def specs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the spec of every schedule and variant, in every dialect and precision."""
    for kind, cls in SCHEDULES.items():
        example = {"values": [0.1] * STEPS} if kind == "values" else cls.EXAMPLE
        for variant, own in {"": example, **cls.VARIANTS}.items():
            for dialect in ("plain", *getattr(cls, "DIALECTS", ())):
                for precision in ("float64", "float32"):
                    form = {"dialect": dialect, "precision": precision}
                    spec = {"kind": kind, **(form if hasattr(cls, "DIALECTS") else {}), **own}
                    if is_accepted(spec):
                        yield " ".join([kind, variant, *form.values()]), spec


def is_accepted(spec: dict[str, Any]) -> bool:
    """Return whether the dialect of *spec* has its other fields."""
    try:
        parse_schedule(spec)
    except SpecError:
        return False
    return True


def best(run: Callable[[], object]) -> float:
    """Return the CPU time of the fastest of five runs, in milliseconds."""
    # CPU time: a curve is computed in one thread, and other processes do not count.
    times = []
    for _ in range(5):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1000 * min(times)


async def preview() -> float:
    """Return the median duration of a preview request to the application, in milliseconds."""
    total_steps = 10_000
    body = {"schedule": {"kind": "cosine"}, "lr": 0.1, "total_steps": total_steps}
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(home=Path(folder)))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            times = []
            for _ in range(200):
                start = time.perf_counter()
                answer = await client.post("/v1/schedules/preview", json=body)
                times.append(time.perf_counter() - start)
                assert len(answer.json()["lr"]) == total_steps
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
