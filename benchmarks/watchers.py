"""
Many who watch: ``python -m benchmarks.watchers``, ``... --seconds 10`` for a short look.

1,000 clients follow 20 jobs, 50 each, as server-sent events from one API process, while each job
makes 100 steps a second, which a process of its own stores through the real function, ten at a
time. Each step carries the time when it was made; the clients, in another process that does no more
than that, check that each has every step once, and how late it is, and count what each got in the
end. Beside them, somebody polls.

The floor is a bare uvicorn application that sends as many prepared bytes to as many clients as
often: what the same work costs without a store, a job or a step.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import redis
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from benchmarks.harness import duration, machine
from jobs import calls
from jobs.calls import Held
from jobs.functions import send
from jobs.metrics import PLAIN
from jobs.record import new_fields, new_id
from jobs.spec.job import JobSpec
from optserve import stack
from optserve.ports import listening_port

JOBS = 20
WATCHERS = 1000
STEPS_PER_S = 100
WRITE_S = 0.1
"""Seconds between two writes of a worker."""
POLL_S = 0.05
LOOK_S = 0.05
LEAD_S = 1.0
"""Seconds between the first steps of the client that was served last and the first measurement."""
SPEC: dict[str, Any] = {
    "model": {"kind": "mlp"},
    "dataset": {"kind": "digits"},
    "optimizer": {"kind": "adam"},
    "training": {"steps": 10_000_000, "device": "cpu"},
}
WANTED = {"lag p99": 1.0, "poll p99": 0.1}
WANTED_RSS = 150e6
LATE_S = 3.0
"""Seconds before the end up to which a client must have every step: later ones may be under way."""
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--watchers", type=int, default=WATCHERS)
    chosen = parser.parse_args()
    ours = service(chosen.watchers, chosen.seconds)
    bare = floor(chosen.watchers, min(chosen.seconds, 20), ours)
    print(f"\n### {chosen.watchers:,} watchers, {JOBS} jobs, {STEPS_PER_S} steps/s each\n")
    print(f"{machine()}\n\n| | | wanted |\n|---|---|---|")
    print(f"| steps told, each once and in order | {ours['steps']:,} | all |")
    print(f"| to who got the fewest | {ours['fewest']:,} | {_share(ours)} |")
    print(f"| until all, who came at once, had their first steps | {duration(ours['joined'])} | |")
    for name in ("lag p50", "lag p99", "poll p50", "poll p99"):
        print(f"| {name} | {duration(ours[name])} | {_wanted(ours[name], WANTED.get(name))} |")
    print(f"| events/s to all | {ours['events'] / ours['seconds']:,.0f} | |")
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
    """Return how many steps each client must have."""
    return int(STEPS_PER_S * (found["seconds"] - LATE_S))


def _share(found: Mapping[str, Any]) -> str:
    wanted = steps_wanted(found)
    missed = "" if found["fewest"] >= wanted else " (missed)"
    return f">= {wanted:,}, all but those of the last {LATE_S:g} s{missed}"


# ------------------------------------------------------------------ ours


def service(watchers: int, seconds: float) -> dict[str, Any]:
    """Return what was measured of the service."""
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        stack.running(home=Path(home), port=0, workers=0) as running,
        redis.from_url(running.redis_url) as client,
    ):
        ids = [submit(client) for _ in range(JOBS)]
        api, store = running.processes()["api"], running.processes()["server"]
        _polled(running.url, ids, rounds=20)  # what is made on first use is not the watchers'
        idle = rss(api)
        with process("train", running.redis_url, *ids) as trainers:
            paths = [f"/v1/jobs/{job_id}/metrics/stream" for job_id in ids]
            with process("watch", running.url, str(watchers), *paths) as clients:
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
        return found | {"poll p50": _quantile(polls, 0.5), "poll p99": _quantile(polls, 0.99)}


def submit(client: redis.Redis) -> str:
    """Put a job into the queue."""
    call = calls.submit(
        "local", new_id(), new_fields(JobSpec.parse(SPEC)), idempotency_key="", body_sha=""
    )
    return send(client, call).record.id


def train(url: str, ids: Sequence[str]) -> None:
    """Claim every job, and store steps until ended."""
    with redis.from_url(url) as client:
        held = []
        for i in range(len(ids)):
            call = calls.claim(
                f"w{i}", device="cpu", fingerprint="f", token=f"t{i}", lease_ms=10**7
            )
            record = send(client, call)
            assert record is not None
            held.append(Held(record.tenant, record.id, f"t{i}"))
        step, count = 0, int(STEPS_PER_S * WRITE_S)
        next_at = time.monotonic()
        while True:
            for i, job in enumerate(held):
                # Each job in its own tenth of the time, as they would come.
                _sleep_until(next_at + i * WRITE_S / len(held))
                data = PLAIN.pack([(0.001, time.time())] * count)
                send(client, calls.append(job, first=step, width=16, data=data, lease_ms=10**7))
            step += count
            next_at += WRITE_S


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _polled(url: str, ids: Sequence[str], *, rounds: int) -> list[float]:
    """Poll the jobs in turn, a tenth of a second of steps each time; return how long it took."""
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


# ------------------------------------------------------------------ clients


class Client(asyncio.Protocol):
    """
    One who watches: notes how late each event is, and that no step is missing.

    Attributes:
        steps: that it was told while they were counted.
    """

    lags: list[float] = []  # noqa: RUF012  # of all
    counts = {"events": 0, "bytes": 0}  # noqa: RUF012  # of all
    counting = False

    def __init__(self, path: str) -> None:
        self._path, self._text, self._next = path, b"", -1
        self.steps = 0

    @property
    def joined(self) -> bool:
        """Whether it has been told of steps."""
        return self._next >= 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        line = cast("asyncio.Transport", transport)
        line.write(f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Look at the events that are whole."""
        self._text += data
        while (found := self._text.find(b"\n\n")) >= 0:
            event, self._text = self._text[:found], self._text[found + 2 :]
            if b"event: rows" in event:
                self._rows(event)

    def _rows(self, event: bytes) -> None:
        at = event.index(b'"rows":[[') + 9
        first, _, of_first = event[at : event.index(b"]", at)].split(b",")
        last = int(event[event.rindex(b"id: ") + 4 :])
        assert self._next in (-1, int(first)), f"{self._next} is missing"
        self._next = last + 1
        if Client.counting:
            Client.lags.append(time.time() - float(of_first))
            Client.counts["events"] += 1
            self.steps += last + 1 - int(first)
            Client.counts["bytes"] += len(event)

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody hangs up here."""
        if Client.counting:
            os.abort()


async def watch(url: str, watchers: int, paths: Sequence[str]) -> None:
    """Follow; between the words begin and stop, measure."""
    loop = asyncio.get_running_loop()
    host, port = str(urlsplit(url).hostname), int(urlsplit(url).port or 80)
    clients = [Client(paths[i % len(paths)]) for i in range(watchers)]
    start = time.monotonic()
    for client in clients:
        await loop.create_connection(partial(_itself, client), host, port)
    while not all(client.joined for client in clients):
        await asyncio.sleep(LOOK_S)
    print(time.monotonic() - start, flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    Client.counting, start = True, time.monotonic()
    await loop.run_in_executor(None, sys.stdin.readline)
    Client.counting = False
    print(json.dumps(told(clients, time.monotonic() - start)), flush=True)


def _itself(client: Client) -> Client:
    return client


def told(clients: Sequence[Client], seconds: float) -> dict[str, Any]:
    """Return what *clients* were told in so many seconds."""
    steps = [client.steps for client in clients]
    return {
        **Client.counts,
        "steps": sum(steps),
        "fewest": min(steps),
        "lag p50": _quantile(Client.lags, 0.5),
        "lag p99": _quantile(Client.lags, 0.99),
        "seconds": seconds,
    }


# ------------------------------------------------------------------ the floor


def floor(watchers: int, seconds: float, ours: dict[str, Any]) -> dict[str, Any]:
    """Return what it costs a bare application to send as many bytes as often."""
    port = listening_port("127.0.0.1", 0)
    every_s = watchers * ours["seconds"] / ours["events"]
    size = ours["bytes"] // ours["events"]
    with process("serve", str(port), str(every_s), str(size)) as server:
        _wait_for(port)
        paths = [f"/{i}" for i in range(JOBS)]
        with process("watch", f"http://127.0.0.1:{port}", str(watchers), *paths) as clients:
            assert clients.stdout is not None
            clients.stdout.readline()
            time.sleep(LEAD_S)
            cpu = Cpu(server.pid)
            tell(clients, "begin")
            time.sleep(seconds)
            tell(clients, "stop")
            found: dict[str, Any] = json.loads(clients.stdout.readline())
            return found | {"floor": cpu.used()}


def serve(port: int, every_s: float, size: int) -> None:
    """Serve prepared events: each group of clients gets one every so often."""
    news = [asyncio.Event() for _ in range(JOBS)]
    numbers = [0] * JOBS
    events = [b""] * JOBS

    async def tick() -> None:
        while True:
            for i in range(JOBS):
                await asyncio.sleep(every_s / JOBS)
                row = f'event: rows\ndata: {{"rows":[[{numbers[i]},0.001,{time.time()}],'
                name = f"]}}\nid: {numbers[i]}\n\n"
                events[i] = (row + " " * max(0, size - len(row) - len(name)) + name).encode()
                numbers[i] += 1
                news[i].set()
                news[i].clear()

    ticking: list[asyncio.Task[None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["type"] != "http":
            return
        if not ticking:
            ticking.append(asyncio.create_task(tick()))
        mine = int(scope["path"][1:])
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        while True:
            await news[mine].wait()
            await send({"type": "http.response.body", "body": events[mine], "more_body": True})

    uvicorn.run(
        app, port=port, loop="uvloop", http="httptools", log_level="critical", lifespan="off"
    )


def _wait_for(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


# ------------------------------------------------------------------ processes


@dataclass
class Cpu:
    """CPU time of a process since this was made."""

    pid: int

    def __post_init__(self) -> None:
        self._start, self._at = self._seconds(), time.monotonic()

    def used(self) -> float:
        """Return it, in cores."""
        return (self._seconds() - self._start) / (time.monotonic() - self._at)

    def _seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid: int) -> int:
    """Return the bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a part of this module as a process of its own."""
    command = [sys.executable, "-m", "benchmarks.watchers", "--part", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def tell(to: subprocess.Popen[str], word: str) -> None:
    """Say a word to a process."""
    assert to.stdin is not None
    to.stdin.write(f"{word}\n")
    to.stdin.flush()


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def part(name: str, *arguments: str) -> None:
    """Be one of the processes."""
    if name == "train":
        train(arguments[0], arguments[1:])
    elif name == "serve":
        serve(int(arguments[0]), float(arguments[1]), int(arguments[2]))
    else:
        uvloop.run(watch(arguments[0], int(arguments[1]), arguments[2:]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--part"]:
        part(*sys.argv[2:])
    else:
        main()
