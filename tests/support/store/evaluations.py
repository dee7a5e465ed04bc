"""Jobs with evaluations."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import redis

from optserve.contract.answers.evaluations import Evaluation
from store.jobs import calls
from store.jobs.calls import Claim
from store.redis.functions import send

ODD = [float("nan"), float("inf"), float("-inf"), 1e9, -1e9, 0.0]


def evaluate(client: redis.Redis, held: Claim, step: int, **metrics: Any) -> None:
    """Store an evaluation after *step* steps."""
    send(client, calls.evaluated(held, step=step, data={"step": step, **metrics}))


def odd_values(seed: int, count: int) -> list[float]:
    """Return values with a spike, a NaN or an infinity here and there."""
    random = Random(seed)
    return [
        random.choice(ODD) if random.random() < 0.05 else random.gauss(0, 1) for _ in range(count)
    ]


def entry(kind: str, **data: Any) -> bytes:
    """Return an entry of a history, as the server writes it."""
    values = {
        name: repr(value).replace("nan", "NaN").replace("inf", "Infinity")
        if isinstance(value, float) and value - value != 0
        else value
        for name, value in data.items()
    }
    return f'{{"at":1,"kind":"{kind}","data":{json.dumps(values)}}}'.encode()


def valid_after(entries: Sequence[bytes]) -> dict[int, dict[str, float]]:
    """Return the metrics of the evaluations that are valid after *entries*, by step."""
    found: dict[int, dict[str, float]] = {}
    for each in map(json.loads, entries):
        data = each["data"]
        if each["kind"] == "rows_cut":
            found = {step: metrics for step, metrics in found.items() if step <= data["from"]}
        elif each["kind"] == "evaluated":
            step = data.pop("step")
            found = {before: metrics for before, metrics in found.items() if before < step}
            found[step] = {name: float(value) for name, value in data.items()}
    return found


def random_history(seed: int, count: int) -> list[bytes]:
    """Return entries of a run that is evaluated, truncated, and evaluated again."""
    random, step, entries = Random(seed), 0, list[bytes]()
    values = iter(odd_values(seed, 2 * count))
    while len(entries) < count:
        chance = random.random()
        if chance < 0.02 and step:
            start = random.choice([0, random.randrange(step), max(0, step - 3)])
            entries.append(entry("rows_cut", **{"from": start}, count=1, why="restarted"))
            step = random.choice([start, start + 1])
        elif chance < 0.2:
            entries.append(entry("checkpointed", step=step, digest="d"))
        else:
            metrics = {"val_loss": next(values)}
            if random.random() < 0.5:
                metrics["val_accuracy"] = next(values)
            entries.append(entry("evaluated", step=step, **metrics))
            step += random.choice([1, 1, 1, 5, 100])
    return entries


def told(data: Sequence[Evaluation]) -> dict[int, dict[str, float]]:
    return {each.step: each.metrics for each in data}
