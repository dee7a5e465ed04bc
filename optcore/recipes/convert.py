"""Convert a configuration file of another project to the parts of a job that it determines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optcore.recipes.accepted import refusals_of
from optcore.recipes.block import Block
from optcore.recipes.catalogue import SOURCES
from optcore.recipes.conversion import Conversion
from optcore.recipes.source import Source
from optcore.spec.errors import did_you_mean


class UnclearFile(ValueError):
    """
    A file cannot be converted: it cannot be read, or its kind is unknown or ambiguous.

    The message says why.
    """


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
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnclearFile(f"{path} must be text in UTF-8: {error}") from None
    config, readers = _read(text, path, among)
    return convert(config, readers[0] if source else _chosen(config, readers, path))


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


def _read(
    text: str, path: Path, among: tuple[Source, ...]
) -> tuple[Mapping[str, Any], tuple[Source, ...]]:
    """Return the mapping in *text*, and the sources in *among* that can read *text*."""
    try:
        config = _mapping(text)
    except ValueError as error:
        config, why = None, str(error)
    else:
        why = "it does not contain a mapping"
    if config is not None:
        return config, among
    # Several frameworks call their script train.py, with different options: `Source.fits` decides.
    parsed = [(source, source.parse(text)) for source in among if source.parse]
    fitting = [(s, found) for s, found in parsed if found is not None and s.fits(found)]
    known = fitting or [(s, found) for s, found in parsed if found is not None]
    if len(known) == 1 or (known and len(among) == 1):
        return known[0][1] or {}, (known[0][0],)
    if known:
        names = " or ".join(source.name for source, _ in known)
        raise UnclearFile(f"{path} may be {names}: choose one with --from")
    raise UnclearFile(f"{path} must be a YAML or JSON file with a mapping: {why}")


def _mapping(text: str) -> Mapping[str, Any] | None:
    """Return the mapping in *text*, which is JSON or YAML; None if *text* is not a mapping."""
    import yaml  # noqa: PLC0415  # only this command needs it

    try:
        # JSON first: YAML 1.1 does not allow its tabs, and reads 1e-3 as text.
        found = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return found if isinstance(found, Mapping) else None


def _chosen(config: Mapping[str, Any], among: tuple[Source, ...], path: Path) -> Source:
    fitting = [source for source in among if source.fits(config)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " or ".join(source.name for source in fitting)
        raise UnclearFile(f"{path} may be {names}: choose one with --from")
    signs = "".join(f"\n  {source.name}: {source.sign}" for source in among)
    raise UnclearFile(
        f"{path} must be a file of a known kind; --from chooses the kind. Looked for:{signs}"
    )
