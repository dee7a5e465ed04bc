"""Pictures of numbers: nothing that is in the numbers may be missing in the picture."""

import pytest

from optserve.cli.output.chart import LETTERS, Curve, chart, overlaid
from optserve.contract.answers.charts import MAX_COMPARED_JOBS


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


def test_points_here_and_there_are_drawn_as_all_the_steps_would_be() -> None:
    values = [float(min(i, 700)) for i in range(1000)]
    values[333] = 1e4
    whole = chart("loss", values, width=40, height=5)
    steps = sorted({333, *range(0, 1000, 5), *range(4, 1000, 5)})

    few = chart(
        "loss", [values[i] for i in steps], width=40, height=5, steps=steps, total=len(values)
    )

    assert few == whole


def test_curves_lie_over_each_other_with_a_letter_for_each() -> None:
    up = Curve(range(100), [float(i) for i in range(100)], 100)
    down = Curve(range(100), [float(99 - i) for i in range(100)], 100)

    lines = overlaid("loss by step", [up, down], width=40, height=6)

    cells = [line.partition("\u2502")[2] for line in lines[1:7]]
    assert len(lines) == 6 + 3
    assert max(len(line) for line in lines) == 40
    assert cells[0].strip().startswith("b")
    assert cells[0].strip().endswith("a")
    assert cells[5].strip().startswith("a")
    assert "*" in "".join(cells)
    assert lines[-1].split() == ["0", "100"]


def test_a_short_curve_ends_where_it_ends_and_a_lost_value_is_marked() -> None:
    long = Curve([0, 50, 100], [0.0, 0.0, 0.0], 100)
    short = Curve([0, 10, 20], [1.0, float("nan"), 1.0], 20)

    lines = overlaid("loss", [long, short], width=43, height=4)

    top, bottom = (line.partition("\u2502")[2] for line in (lines[1], lines[4]))
    assert "x" in top
    assert set(top[9:]) == {" "}
    assert set(bottom) == {"a"}


def test_there_is_a_letter_for_each_job_of_a_comparison() -> None:
    assert len(set(LETTERS)) == len(LETTERS) == MAX_COMPARED_JOBS
    assert "x" not in LETTERS
