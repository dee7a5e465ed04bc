"""What several commands may be given, and the service that follows from it."""

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
"""Exit code of a command that did not come to what was asked for."""

Home = Annotated[
    Path, typer.Option(envvar="OPTSERVE_HOME", help="Where the local stack keeps everything.")
]
Port = Annotated[
    int,
    typer.Option(envvar="OPTSERVE_PORT", min=0, max=MAX_PORT, help="0 for any free one."),
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="OPTSERVE_URL", help="The service. Default: the stack on --home, else port 8000."
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB")]


def service(url: str | None, home: Path) -> Client:
    """Return a client of the service at *url*, else of the stack on *home*, else on port 8000."""
    return Client(url or url_of(home) or DEFAULT_URL)
