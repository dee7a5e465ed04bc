"""Options that several commands share, and the client for the service that they select."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optserve.client import Client
from optserve.local.homes import url_of

DEFAULT_HOME = Path(".optserve")
DEFAULT_URL = "http://127.0.0.1:8000"
MAX_PORT = 65535
FAILED = 1
"""Exit code of a command that failed."""


class BadOption(Exception):
    """An option has a value that is not allowed; the message names the option."""


Home = Annotated[
    Path, typer.Option(envvar="OPTSERVE_HOME", help="Folder with all files of the local stack.")
]
Port = Annotated[
    int,
    typer.Option(
        envvar="OPTSERVE_PORT", min=0, max=MAX_PORT, help="Port of the API; 0 for any free port."
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="OPTSERVE_URL",
        help="URL of the service. Default: the local stack in --home, else 127.0.0.1:8000.",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB")]


def service(url: str | None, home: Path) -> Client:
    """
    Return a client for the service at *url*.

    Without a URL, the client is for the local stack that runs in *home*. If no stack runs there,
    the client is for port 8000 of this machine (`DEFAULT_URL`).
    """
    return Client(url or url_of(home) or DEFAULT_URL)
