"""
Measures streams to many clients: ``python -m benchmarks.watchers [--seconds 10]``.

1,000 clients follow 20 jobs, 50 clients per job, as server-sent events from one API process. Each
job makes 100 steps a second, which a separate process stores through the real function, ten at a
time. Each step contains the time at which it was made. The clients, in another process that does
nothing else, check that each gets every step once, measure how late it is, and count the steps.
Meanwhile, another client polls.

The floor is a bare uvicorn application that sends as many prepared bytes to as many clients as
often: the cost of the same work without a store, jobs and steps.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from benchmarks.harness import duration, machine, percentile
from benchmarks.watching.processes import process, tell
from benchmarks.watching.trainers import STEPS_PER_S
from optserve.contract.requests.job import JobSpec
from optserve.local import stack
from optserve.local.ports import listening_port
from store.jobs import calls
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.redis.connect import connect
from store.redis.functions import send
from tests.support.machine.usage import Cpu, rss

JOBS = 20
WATCHERS = 1000
POLL_S = 0.05
LEAD_S = 1.0
"""Seconds from the moment at which the last client got its first steps to the measurement."""
SPEC: dict[str, Any] = {
    "model": {"kind": "mlp"},
    "dataset": {"kind": "digits"},
    "optimizer": {"kind": "adam"},
    "training": {"steps": 10_000_000, "device": "cpu"},
}
WANTED = {"lag p99": 1.0, "poll p99": 0.1}
WANTED_RSS = 150e6
LATE_S = 3.0
"""Seconds before the end of the measurement; steps made later may still be on their way."""


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--watchers", type=int, default=WATCHERS)
    chosen = parser.parse_args()
    ours = service(chosen.watchers, chosen.seconds)
    bare = floor(chosen.watchers, min(chosen.seconds, 20), ours)
    print(f"\n### {chosen.watchers:,} watchers, {JOBS} jobs, {STEPS_PER_S} steps/s each\n")
    print(f"{machine()}\n\n| | | wanted |\n|---|---|---|")
    print(f"| steps delivered, each once and in order | {ours['steps']:,} | all |")
    print(f"| of these to the client with the fewest | {ours['fewest']:,} | {_share(ours)} |")
    print(f"| until all clients had their first steps | {duration(ours['joined'])} | |")
    for name in ("lag p50", "lag p99", "poll p50", "poll p99"):
        print(f"| {name} | {duration(ours[name])} | {_wanted(ours[name], WANTED.get(name))} |")
    print(f"| events/s to all clients | {ours['events'] / ours['seconds']:,.0f} | |")
    print(f"| memory of the API above idle | {ours['rss'] / 1e6:.0f} MB | <= 150 MB |")
    print(f"| connections to the store | {ours['connections']} | <= pool + {JOBS} |")
    for name in ("API", "store", "clients", "trainers"):
        print(f"| CPU of the {name}, cores | {ours[name]:.2f} | |")
    print(f"| CPU of the floor, cores | {bare['floor']:.2f} | |")
    ratio = (ours["API"] / ours["events"] * ours["seconds"]) / (
        bare["floor"] / bare["events"] * bare["seconds"]
    )
    print(f"| CPU of the API per event, over that of the floor | {ratio:.2f} | |")


def _wanted(found: float, wanted: float | None) -> str:
    if wanted is None:
        return ""
    return f"<= {duration(wanted)}{'' if found <= wanted else ' (missed)'}"


def steps_wanted(found: Mapping[str, Any]) -> int:
    """Return the number of steps that each client must have received."""
    return int(STEPS_PER_S * (found["seconds"] - LATE_S))


def _share(found: Mapping[str, Any]) -> str:
    wanted = steps_wanted(found)
    missed = "" if found["fewest"] >= wanted else " (missed)"
    return f">= {wanted:,}, all but those of the last {LATE_S:g} s{missed}"


def service(watchers: int, seconds: float) -> dict[str, Any]:
    """Return the measurements of the service."""
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        stack.running(home=Path(home), port=0, workers=0) as running,
        connect(running.redis_url) as client,
    ):
        ids = [submit(client) for _ in range(JOBS)]
        api, store = running.processes()["api"], running.processes()["server"]
        _polled(running.url, ids, rounds=20)  # what is made on first use is not the watchers'
        idle = rss(api)
        with process("trainers", running.redis_url, *ids) as trainers:
            paths = [f"/v1/jobs/{job_id}/metrics/stream" for job_id in ids]
            with process("clients", running.url, str(watchers), *paths) as clients:
                assert clients.stdout is not None
                joined = float(clients.stdout.readline())
                time.sleep(LEAD_S)
                counted = [Cpu(p) for p in (api, store, clients.pid, trainers.pid)]
                tell(clients, "begin")
                polls = _polled(running.url, ids, rounds=int(seconds / POLL_S))
                tell(clients, "stop")
                found: dict[str, Any] = json.loads(clients.stdout.readline())
                names = ("API", "store", "clients", "trainers")
                found |= {name: cpu.used() for name, cpu in zip(names, counted, strict=True)}
                found["joined"] = joined
                found["rss"] = rss(api) - idle
                found["connections"] = client.info("clients")["connected_clients"] - 2
        return found | {"poll p50": percentile(polls, 50), "poll p99": percentile(polls, 99)}


def submit(client: redis.Redis) -> str:
    """Put a job into the queue; return its id."""
    call = calls.submit(
        "local", new_id(), new_fields(JobSpec.parse(SPEC)), idempotency_key="", body_sha=""
    )
    return send(client, call).record.id


def _polled(url: str, ids: Sequence[str], *, rounds: int) -> list[float]:
    """Poll the jobs in turn, *rounds* times in all; return the duration of each poll in seconds."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    after, times = dict.fromkeys(ids, -1), []
    for i in range(rounds):
        job_id = ids[i % len(ids)]
        start = time.perf_counter()
        connection.request("GET", f"/v1/jobs/{job_id}/metrics?limit=1000&after={after[job_id]}")
        page = json.loads(connection.getresponse().read())
        times.append(time.perf_counter() - start)
        after[job_id] = page["next"]
        time.sleep(max(0.0, POLL_S - times[-1]))
    connection.close()
    return times


def floor(watchers: int, seconds: float, ours: dict[str, Any]) -> dict[str, Any]:
    """Return the measurements of a bare application that sends as many bytes as often."""
    port = listening_port("127.0.0.1", 0)
    every_s = watchers * ours["seconds"] / ours["events"]
    size = ours["bytes"] // ours["events"]
    with process("floor", str(port), str(every_s), str(size), str(JOBS)) as server:
        _wait_for(port)
        paths = [f"/{i}" for i in range(JOBS)]
        with process("clients", f"http://127.0.0.1:{port}", str(watchers), *paths) as clients:
            assert clients.stdout is not None
            clients.stdout.readline()
            time.sleep(LEAD_S)
            cpu = Cpu(server.pid)
            tell(clients, "begin")
            time.sleep(seconds)
            tell(clients, "stop")
            found: dict[str, Any] = json.loads(clients.stdout.readline())
            return found | {"floor": cpu.used()}


def _wait_for(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main()
