"""Convert a configuration file of another project to the parts of a job that it determines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optcore.recipes.accepted import refusals_of
from optcore.recipes.block import Block
from optcore.recipes.catalogue import SOURCES
from optcore.recipes.conversion import Conversion
from optcore.recipes.detection import UnclearFile, read_file
from optcore.recipes.source import Source
from optcore.spec.errors import did_you_mean


def convert_file(path: Path, source: str | None = None) -> Conversion:
    """
    Return the conversion of the file at *path*.

    Args:
        path: path of a YAML or JSON file, a shell script, or a text with a command line.
        source: name of the kind of file, such as ``timm``; None to determine the kind from the
            keys in the file.

    Raises:
        UnclearFile: the file cannot be read, or its kind is unknown or ambiguous.
    """
    among = SOURCES if source is None else (source_named(source),)
    return convert(*read_file(path, among))


def convert(config: Mapping[str, Any], source: Source) -> Conversion:
    """Return the conversion of *config*, the content of a file of the kind *source*."""
    result = Conversion(config, source.name)
    source.convert(Block(result, config))
    result.finish()
    # If a key is refused, the job also lacks the fields that the key stands for.
    if not result.problems:
        result.unacceptable = refusals_of(result.job)
    return result


def source_named(name: str) -> Source:
    """
    Return the source *name*.

    Raises:
        UnclearFile: there is no such source; the message contains the nearest name.
    """
    found = {source.name: source for source in SOURCES}
    if name not in found:
        known = ", ".join(found)
        raise UnclearFile(f"--from must be one of {known}, got {name!r}{did_you_mean(name, found)}")
    return found[name]
