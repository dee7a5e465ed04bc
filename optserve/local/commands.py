"""
The commands that need the service's modules: `up`, `demo` and `datasets`.

`service/pyproject.toml` declares the commands as entry points, so they exist only where the service
is installed. Every command of `optserve` imports this module. So the commands here import the
service's modules only when they run.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Annotated

import typer

from optserve.cli.options import DEFAULT_HOME, Home, Port
from optserve.cli.output.terminal import out
from optserve.local.errors import StackError, needing_the_service
from optserve.local.ports import HOST

datasets = typer.Typer(help="Manage the datasets on this machine.", no_args_is_help=True)


def up(
    home: Home = DEFAULT_HOME,
    host: Annotated[str, typer.Option(envvar="OPTSERVE_HOST")] = HOST,
    port: Port = 8000,
    workers: Annotated[
        int, typer.Option(min=1, help="Number of workers; they share the cores.")
    ] = 1,
    worker_module: Annotated[str, typer.Option(hidden=True)] = "worker.main",
) -> None:
    """Start the service on this machine and run it until Ctrl-C."""
    with needing_the_service("up"):
        from optserve.local import stack  # noqa: PLC0415  imported when it runs

    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    # Before the stack starts, and by an event: a KeyboardInterrupt could arrive after a child was
    # started and before it was recorded, and would leave the child behind.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    with stack.running(
        home=home,
        host=host,
        port=port,
        workers=workers,
        stopping=stopping,
        worker_module=worker_module,
    ) as running:
        out.say(f"optserve is ready at {running.url}")
        out.say(f"its API is documented at {running.url}/docs")
        out.say("Ctrl-C saves running jobs and stops everything")
        while not stopping.wait(stack.POLL_S):
            running.supervise()
        out.say("saving running jobs and stopping ...")


def demo(home: Home = DEFAULT_HOME, port: Port = 8000) -> None:
    """Train a network on MNIST with the whole service, and show its progress."""
    with needing_the_service("demo"):
        from optserve.local import demo as demonstration  # noqa: PLC0415  imported when it runs

    demonstration.run(home, port, out)


@datasets.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name of the dataset: mnist")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Download a dataset into the data directory of the local stack."""
    if name != "mnist":
        raise StackError(f"dataset must be mnist (digits needs no download), got {name!r}")
    with needing_the_service("datasets"):
        from optcore.data.sources.mnist_fetch import fetch_mnist  # noqa: PLC0415  imported when it runs
        from optserve.local import stack  # noqa: PLC0415  imported when it runs

    fetch_mnist(stack.data_dir(home) / name, out.say)
