"""``optserve convert``: convert another framework's configuration to parts of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optserve.interrupts import importing

SOURCES = (
    *("paddleocr", "paddleclas", "mindcv", "mindocr"),
    *("transformers", "trl", "llamafactory", "axolotl", "timm", "torchvision"),
)
"""The names in `optcore.recipes.catalogue`, repeated here because that module imports slowly."""
KINDS = ", ".join(SOURCES)


def convert(  # noqa: PLR0917  typer makes options of them
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="A configuration, in YAML or JSON; two with --diff."
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option("--from", help=f"The kind of file: {KINDS}. Default: chosen by its content."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="List every key, what it became and why.")
    ] = False,
    diff: Annotated[
        bool,
        typer.Option("--diff", help="Draw the lr of two files, and print where the lr differs."),
    ] = False,
    steps_per_epoch: Annotated[
        int, typer.Option(min=1, help="With --diff: number of updates in an epoch.")
    ] = 100,
    epochs: Annotated[
        float,
        typer.Option(min=0.01, help="With --diff: epochs of a run whose file gives no length."),
    ] = 100.0,
) -> None:
    """
    Convert another framework's configuration: print its optimization settings as parts of a job.

    If a job cannot reproduce a setting exactly, the command prints the reason and no parts. Notes
    name the keys that have no effect.
    """
    with importing():
        from optserve.cli.offline.conversion import (  # noqa: PLC0415  see `offline`
            tell,
            tell_difference,
        )

    if diff:
        tell_difference(files, source, steps_per_epoch=steps_per_epoch, epochs=epochs)
    else:
        tell(files, source, explain=explain)
