"""One text for equal values."""

import hashlib
import json
from typing import Any

import pytest

from optserve.contract.canonical import SLICE, parts, sha256


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        'ä\U0001f600"',
        [],
        {},
        {"b": [1, 2.5, "x", None, True, -0.0, 1e300], "a": {"z": [], "y": {}}},
        [[1, [2, {"c": [3]}]], "x", {"a": [[]]}],
        [0.1] * (2 * SLICE + 1),
        {"values": list(range(SLICE)), "more": [[0.5] * SLICE, {"a": ["b"] * (SLICE + 3)}]},
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_text_is_what_json_gives_with_sorted_names(value: Any) -> None:
    """Also that by which the release before has remembered what was posted."""
    text = json.dumps(value, sort_keys=True)

    assert "".join(parts(value)) == text
    assert sha256(value) == hashlib.sha256(text.encode()).hexdigest()


def test_a_long_list_is_written_in_parts() -> None:
    assert max(map(len, parts({"values": [0.5] * (20 * SLICE)}))) < 6 * SLICE
