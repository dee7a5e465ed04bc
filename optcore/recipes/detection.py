"""Reads a configuration file, and decides by its content which kind of file it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optcore.recipes.source import Source


class UnclearFile(ValueError):
    """
    A file cannot be converted: it cannot be read, or its kind is unknown or ambiguous.

    The message says why.
    """


def read_file(path: Path, among: tuple[Source, ...]) -> tuple[Mapping[str, Any], Source]:
    """
    Return the content of the file at *path*, and its kind.

    Args:
        path: a YAML or JSON file, or another form that a source can read.
        among: the kinds to choose from; if there is only one, the content does not matter.

    Raises:
        UnclearFile: the file cannot be read, or its kind is unknown or ambiguous.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnclearFile(f"{path} must be text in UTF-8: {error}") from None
    config, readers = _read(text, path, among)
    return config, readers[0] if len(among) == 1 else _chosen(config, readers, path)


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
        f"{path} is not a file of a known kind; choose the kind with --from. Kinds are recognized "
        f"by:{signs}"
    )
