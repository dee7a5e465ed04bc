"""Options that several commands share, and the client that they select."""

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
    """An option has a value that it cannot have; the text says which."""


Home = Annotated[
    Path, typer.Option(envvar="OPTSERVE_HOME", help="Folder of the local stack's files.")
]
Port = Annotated[
    int,
    typer.Option(envvar="OPTSERVE_PORT", min=0, max=MAX_PORT, help="0 for any free port."),
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="OPTSERVE_URL",
        help="URL of the service. Default: the stack on --home, else port 8000.",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB")]


def service(url: str | None, home: Path) -> Client:
    """Return a client of the service at *url*, else of the stack on *home*, else on port 8000."""
    return Client(url or url_of(home) or DEFAULT_URL)
