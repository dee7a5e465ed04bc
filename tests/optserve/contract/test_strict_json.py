"""JSON that can be read in one way only."""

import pytest

from optserve.contract.strict_json import NotStrict, parse


def test_a_plain_text_is_read_as_json_reads_it() -> None:
    assert parse(b'{"lr": 1e-3, "n": 1, "of": [true, null, "\\u00fc"]}') == {
        "lr": 0.001,
        "n": 1,
        "of": [True, None, "ü"],
    }


def test_half_a_million_numbers_are_one_list() -> None:
    assert parse(b"[" + b"0," * 500_000 + b"1]") == [0] * 500_000 + [1]


def test_two_halves_are_a_character() -> None:
    assert parse(b'["\\ud83d\\ude00"]') == ["\U0001f600"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "Expecting property name enclosed in double quotes at line 1, column 2"),
        (b"", "Expecting value at line 1, column 1"),
        (b"\xef\xbb\xbf{}", "Unexpected UTF-8 BOM"),
        (b'{"name": "\xff"}', "byte 10 is not UTF-8"),
        (b'{"lr": 1, "lr": 2}', "names must be unique in an object, got 'lr' twice"),
        (b'{"lr": NaN}', "numbers must be finite, got NaN"),
        (b'{"lr": -Infinity}', "numbers must be finite, got -Infinity"),
        (b'{"lr": 1e999}', "numbers must be finite, got 1e999"),
        (b"1" * 5000, r"Exceeds the limit \(4300 digits\)"),
        (b"[" * 33 + b"]" * 33, "objects and lists must nest at most 32 deep"),
        (
            b"[" + b"{}," * 10_000 + b"1]",
            "the JSON must have at most 10000 objects and lists in total, got more",
        ),
        (b'{"\\uD800": 1}', "strings must be Unicode, got half of a surrogate pair"),
        (b'["\\udc00\\ud800"]', "strings must be Unicode, got half of a surrogate pair"),
        (b"[" * 100_000 + b"]" * 100_000, "objects and lists must nest at most 32 deep"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_text_with_a_trap_is_refused_with_the_reason(text: bytes, why: str) -> None:
    with pytest.raises(NotStrict, match=why):
        parse(text)
