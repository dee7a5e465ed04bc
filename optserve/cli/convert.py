"""``optserve convert``: convert another framework's configuration to parts of a job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from optcore.recipes.paddleocr import convert_file


def convert(
    file: Annotated[Path, typer.Argument(help="A PaddleOCR configuration, in YAML.")],
) -> None:
    """Print the optimizer and schedule of a PaddleOCR configuration as parts of a job."""
    try:
        converted = convert_file(file)
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if converted.problems:
        typer.echo("\n".join(converted.problems), err=True)
        raise typer.Exit(1)
    typer.echo(json.dumps(converted.as_job(), indent=2))
