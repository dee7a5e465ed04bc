"""``python -m benchmarks.chaos``: see `benchmarks.chaos.command`."""

from __future__ import annotations

import typer

from benchmarks.chaos.command import command
from optserve.cli.main import main

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(command)

if __name__ == "__main__":
    main(app)
