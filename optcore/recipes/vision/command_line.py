"""Read the arguments of a training script from the text of a command line or of a shell script."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml

SCRIPTS = re.compile(r"(^|/)(train|distributed_train)\.(py|sh)$")
"""Matches the names of the programs whose arguments are read."""
ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)=(\S+)\s*$", re.MULTILINE)


def parse_command(
    text: str,
    *,
    aliases: Mapping[str, str],
    flags: Collection[str],
    lists: Collection[str],
    launcher: Collection[str] = (),
) -> dict[str, Any] | None:
    """
    Return the arguments of the last command in *text* that runs a training script.

    Args:
        text: a command line or a shell script. ``$NAME`` is replaced by ``value`` if the script
            has a line ``NAME=value``.
        aliases: short name of an option -> long name, without dashes: ``{"b": "batch_size"}``.
        flags: the long names of options that take no value.
        lists: the long names of options that take any number of values.
        launcher: the names of torchrun's options that are read too; they stand before the script.
            If *launcher* is not empty and the script is run by ``python`` without torchrun, the
            result contains a ``world_size`` of 1.

    Returns:
        option -> value, with underscores in the names; None if no command runs such a script.
    """
    found = None
    values = dict(ASSIGNMENT.findall(text))
    for command in _commands(text):
        words = [_put_in(word, values) for word in command]
        start = next((i for i, word in enumerate(words) if SCRIPTS.search(word)), None)
        if start is not None:
            found = dict(_arguments(words[start + 1 :], aliases, flags, lists))
            before = dict(_arguments(words[:start], {}, (), ()))
            if launcher and re.fullmatch(r"\S*python[\d.]*", " ".join(words[:start])):
                found = {"world_size": 1, **found}
            found |= {name: before[name] for name in launcher if name in before}
    return found


def _commands(text: str) -> Iterator[list[str]]:
    # People write blanks after the backslash, although the shell ends the command there.
    for line in re.sub(r"\\[ \t]*\n", " ", text).splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # an open quote: not a training command
            continue
        if words:
            yield words


def _put_in(word: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m.group(1), m.group(0)), word)


def _arguments(
    words: list[str], aliases: Mapping[str, str], flags: Collection[str], lists: Collection[str]
) -> Iterator[tuple[str, Any]]:
    i = 0
    while i < len(words):
        word = words[i]
        i += 1
        if not _is_option(word):
            continue  # the dataset, or the number of processes
        name, equals, value = word.lstrip("-").partition("=")
        name = aliases.get(name, name).replace("-", "_")
        end = next((k for k in range(i, len(words)) if _is_option(words[k])), len(words))
        if equals:
            yield name, _value(value)
        elif name in flags:
            yield name, True
        elif name in lists:
            yield name, [_value(each) for each in words[i:end]]
            i = end
        elif i < end:
            yield name, _value(words[i])
            i += 1
        else:
            yield name, True


def _is_option(word: str) -> bool:
    return word.startswith("-") and re.match(r"-[\d.]", word) is None


def _value(text: str) -> Any:  # noqa: ANN401
    """Return *text* as a number if it is a number, else unchanged."""
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text):
        return yaml.safe_load(text) if text.lstrip("-").isdigit() else float(text)
    return text
