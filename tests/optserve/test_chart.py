"""Pictures of numbers: nothing that is in the numbers may be missing in the picture."""

import pytest

from optserve.chart import chart


def picture(values: list[float], *, width: int = 40, height: int = 5) -> list[str]:
    return chart("loss", values, width=width, height=height)


def test_a_picture_has_the_size_it_was_given() -> None:
    lines = picture([float(i % 7) for i in range(1000)], width=40, height=5)

    assert len(lines) == 5 + 3
    assert max(len(line) for line in lines) == 40
    assert lines[0].strip() == "loss"
    assert lines[1].startswith("6 \u2502")
    assert lines[5].startswith("0 \u2502")
    assert lines[-1].endswith("999")


def test_a_spike_of_one_step_in_a_million_is_seen() -> None:
    values = [0.0] * 1_000_000
    flat = picture(values)
    values[654_321] = 1.0

    spiked = picture(values)

    column = [line.partition("\u2502")[2] for line in spiked[1:6]]
    assert all(line.strip() for line in column)
    assert not flat[1].partition("\u2502")[2].strip()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_marked(wrong: float) -> None:
    values = [1.0] * 100 + [wrong] + [2.0] * 100

    lines = picture(values)

    assert "x" in lines[1]


def test_odd_numbers_of_values_are_drawn() -> None:
    for values in ([1.0], [1.0, 1.0], [0.0, 5.0, 0.0], [float("nan")] * 3):
        assert len(picture(values)) == 8


def test_a_rise_is_drawn_from_the_bottom_left_to_the_top_right() -> None:
    lines = [line.partition("\u2502")[2] for line in picture([float(i) for i in range(100)])[1:6]]

    firsts = [len(line) - len(line.lstrip()) for line in lines]
    assert firsts == sorted(firsts, reverse=True)
    assert firsts[-1] == 0
