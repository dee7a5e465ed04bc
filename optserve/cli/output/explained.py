"""Lists what became of each key of a converted file, as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from optcore.recipes.conversion import MISSING, Conversion, Entry, Fate
from optcore.spec.errors import short_json

SECTIONS: dict[Fate, str] = {
    "refused": "Refused: settings that a job cannot reproduce",
    "converted": "Converted",
    "ignored": "Without effect",
    "other": "Not about the optimization",
}
"""What became of a key -> the title printed above such keys, in the order of printing."""


def explained(conversion: Conversion, width: int) -> list[str]:
    """Return lines of text that list every key of the file, what became of the key, and why."""
    lines = [f"Read as {conversion.source}"]
    for fate, title in SECTIONS.items():
        found = [entry for entry in conversion.entries if entry.fate == fate]
        lines += _section(title, found, width)
    lines += _section("Not in the file", conversion.defaults, width)
    refused = [f"  {line}" for line in conversion.unacceptable]
    return lines + (["", "A job would refuse", *refused] if refused else [])


def _section(title: str, entries: Sequence[Entry], width: int) -> list[str]:
    if not entries:
        return []
    return ["", title, *(line for entry in entries for line in _entry(entry, width))]


def _entry(entry: Entry, width: int) -> Iterator[str]:
    given = "" if entry.value is MISSING else f" = {short_json(entry.value)}"
    # Fields that come from no key have the name of the field itself.
    yield from _wrapped(f"{entry.path}{given}", "  ", width)
    for field, value in entry.fields:
        name = "" if entry.path == field else f"{field} "
        yield from _wrapped(f"-> {name}{short_json(value)}", "      ", width)
    if entry.reason:
        yield from _wrapped(entry.reason, "      ", width)


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    further = indent + "  "
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=further)
