"""The demonstration: one job, from downloading its data to its accuracy on unseen digits."""

from __future__ import annotations

import contextlib
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from optcore.data.sources.mnist_fetch import fetch_mnist
from optserve.cli.output import live, reports
from optserve.cli.output.terminal import Terminal
from optserve.client import Client
from optserve.contract.states import State
from optserve.local import homes, stack
from optserve.local.ports import HOST, CannotListen, listening_port

JOB: dict[str, Any] = {
    "name": "demo: mnist, adam, cosine after a warmup",
    "labels": {"made-by": "demo"},
    "model": {"kind": "mnist_cnn"},
    "dataset": {"kind": "mnist", "batch_size": 100, "shuffle": True},
    "optimizer": {"kind": "adam", "lr": 0.002},
    "schedule": {"kind": "cosine", "warmup": {"length": 60, "after": "compress"}},
    "training": {"epochs": 1, "seed": 7},
}


def run(home: Path, port: int, out: Terminal) -> None:
    """
    Train the demonstration's job on the local stack in *home*, and print its progress.

    If no stack runs in *home*, one is started, and stopped at the end. Ctrl-C and SIGTERM cancel
    the job. Exit with code 1 if the job does not succeed.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    fetch_mnist(stack.data_dir(home) / "mnist", out.say)
    with _service(home, port, out) as url, Client(url) as client:
        key = str(uuid.uuid4())
        try:
            job = client.submit(JOB, idempotency_key=key)
            out.say(f"job {job.id}")
            out.say("adam, lr 0.002, cosine after 60 steps of warmup, one epoch of MNIST")
            end = live.follow(client, job, out)
        except KeyboardInterrupt:
            # The first response may not have arrived yet; the same key returns the same job.
            client.cancel(client.submit(JOB, idempotency_key=key).id)
            raise
        if end.state is not State.SUCCEEDED:
            out.say(f"the job ended {end.state}: {end.reason}: {end.detail}")
            raise typer.Exit(1)
        reports.print_charts(client, job.id, out)
        result = client.job(job.id).result
        assert result is not None  # a job that succeeded has one
        where = f"{url}/v1/jobs/{job.id}"
        out.say(f"{end.rows} steps, lr and loss of each:\n{where}/metrics")
        out.say(f"the job (`optserve up` serves it again):\n{where}")
        accuracy = 100 * result.test["accuracy"]
    out.say(f"test accuracy {accuracy:.2f} %")


@contextlib.contextmanager
def _service(home: Path, port: int, out: Terminal) -> Iterator[str]:
    """
    Yield the URL of the stack that runs in *home*.

    If no stack runs there, run a stack as long as the context lasts.
    """
    url = homes.url_of(home)
    if url is not None:
        out.say(f"using the service at {url}")
        yield url
        return
    out.say("starting the service ...")
    try:
        listening_port(HOST, port)
    except CannotListen:
        # The demo needs no particular port, and another service may use this one.
        port = 0
    with stack.running(home=home, port=port) as running:
        out.say(f"ready at {running.url}")
        yield running.url


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
