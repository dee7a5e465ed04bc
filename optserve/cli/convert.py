"""``optserve convert``: convert another framework's configuration to parts of a job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from optcore.recipes.conversion import Conversion
from optcore.recipes.convert import UnclearFile, convert_file
from optserve.cli.output.terminal import err


def convert(
    file: Annotated[Path, typer.Argument(help="A configuration, in YAML or JSON.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="The kind of file. Default: chosen by its content."),
    ] = None,
) -> None:
    """Print what another framework's configuration says of the optimization, as parts of a job."""
    converted = _converted(file, source)
    for note in converted.notes:
        err.say(f"note: {note}")
    if converted.problems:
        err.say("\n".join(converted.problems))
        raise typer.Exit(1)
    typer.echo(json.dumps(converted.job, indent=2))


def _converted(file: Path, source: str | None) -> Conversion:
    try:
        return convert_file(file, source)
    except (OSError, UnclearFile) as error:
        err.say(str(error))
        raise typer.Exit(1) from None
