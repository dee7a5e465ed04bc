"""Converts the configurations of other frameworks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from optcore.recipes.conversion import Conversion
from optcore.recipes.convert import convert_file
from optcore.recipes.detection import UnclearFile
from optserve.cli.files import BadFile, parse_object
from optserve.cli.offline.recipe_diff import Recipe, check_two, compared, recipe
from optserve.cli.options import FAILED, BadOption
from optserve.cli.output.explained import explained
from optserve.cli.output.terminal import err, out

MAX_WIDTH = 80


def tell_difference(
    files: list[Path], source: str | None, *, steps_per_epoch: int, epochs: float
) -> None:
    """Draw the lr of the two *files*, and print where the lr differs."""
    one, other = (
        _recipe(path, source, steps_per_epoch=steps_per_epoch, epochs=epochs)
        for path in check_two(files)
    )
    for line in compared(one, other, out.width):
        out.say(line)


def tell(files: list[Path], source: str | None, *, explain: bool) -> None:
    """
    Convert the one file in *files*, and print the parts of a job that result.

    If *explain* is true, print what became of each key in the file instead.
    """
    if len(files) != 1:
        raise BadOption(f"convert takes one file, or two with --diff, got {len(files)}")
    converted = _converted(files[0], source)
    if explain:
        for line in explained(converted, min(out.width, MAX_WIDTH)):
            out.say(line)
        raise typer.Exit(FAILED if converted.problems else 0)
    _tell(converted)
    typer.echo(json.dumps(converted.job, indent=2))


def _converted(file: Path, source: str | None) -> Conversion:
    try:
        return convert_file(file, source)
    except UnclearFile as error:
        raise BadFile(str(error)) from None


def _tell(converted: Conversion) -> None:
    """Print the notes and problems of a conversion; if there are problems, exit with code 1."""
    for note in converted.notes:
        err.say(f"note: {note}")
    if converted.problems:
        err.say("\n".join(converted.problems))
        raise typer.Exit(FAILED)


def _recipe(path: Path, source: str | None, *, steps_per_epoch: int, epochs: float) -> Recipe:
    job = _own_job(path) or _checked(path, source)
    return recipe(path, job, steps_per_epoch=steps_per_epoch, epochs=epochs)


def _own_job(path: Path) -> Mapping[str, Any] | None:
    """Return the job in the file *path*; None if the file does not contain a job of optserve."""
    try:
        found = parse_object(path.read_bytes(), str(path), "a job")
    except BadFile:
        return None
    mine = found.get("optimizer")
    return found if isinstance(mine, dict) and "kind" in mine else None


def _checked(path: Path, source: str | None) -> Mapping[str, Any]:
    converted = _converted(path, source)
    if converted.problems:
        err.say(f"{path}:")
        _tell(converted)
    return converted.job
