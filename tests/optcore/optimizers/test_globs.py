"""Globs for names of parameters: what they match, and how much is compared."""

from __future__ import annotations

import random
from fnmatch import fnmatchcase

import pytest

from optcore.spec.groups.globs import Globs, comparison

SEED = 25


def texts(letters: str, longest: int, number: int) -> list[str]:
    draw = random.Random(SEED)
    return ["".join(draw.choices(letters, k=draw.randint(0, longest))) for _ in range(number)]


NAMES = dict.fromkeys([*texts("ab.", 6, 300), "a\nb", "[ab]", "a*b", "ünï.😀"])


@pytest.mark.parametrize("letters", ["ab.*", "ab*", "ab?*", "ab[]!*"])
def test_globs_match_what_those_of_the_shell_match(letters: str) -> None:
    for glob in texts(letters, 7, 400):
        expected = {name for name in NAMES if fnmatchcase(name, glob)}

        assert Globs([glob]).among(NAMES) == expected, glob
        assert {name for name in NAMES if name in Globs([glob])} == expected, glob


def test_of_several_globs_one_must_match() -> None:
    globs = ["a*", "*b", "a.b", "*a*", "a*b*", "?.", "[a]b"]

    found = Globs(globs)

    expected = {name for name in NAMES if any(fnmatchcase(name, glob) for glob in globs)}
    assert found.among(NAMES) == expected == {name for name in NAMES if name in found}


@pytest.mark.parametrize(
    ("glob", "cost"),
    [
        ("conv1.weight", 0),
        ("", 0),
        ("*", 1),
        ("conv1.*", 1),
        ("*.bias", 1),
        ("*norm*", 1),
        ("**norm**", 1),
        ("conv*.bias", 2),
        ("*.attn.*.bias", 4),
        ("a*b*c*d*e*f*g", 12),
        ("conv?.bias", 10),
        ("[ab]*", 10),
        ("*?*?*?", 12),
    ],
)
def test_a_glob_costs_by_its_wildcards(glob: str, cost: int) -> None:
    assert comparison(glob) == cost
