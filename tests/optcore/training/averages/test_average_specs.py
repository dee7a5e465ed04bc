"""What a spec may say of an average: what is refused, what is named, and its JSON."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.plan.rounding import rounded_durations
from optcore.plan.unused import unused_fields
from optcore.plan.values import check_values
from optcore.spec.errors import SpecError
from optcore.spec.weights import ShadowEma
from tests.support.optcore.runs.small import spec_of

NORMALISED = {
    "kind": "sequential",
    "layers": [
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 12},
        {"kind": "batch_norm"},
        {"kind": "linear", "out_features": 10},
    ],
}
BATCHES = {"kind": "digits", "batch_size": 300}


@pytest.mark.parametrize(
    ("ema", "text"),
    [
        (
            {"every": {"epochs": 0.05}},
            "training.ema.every: every must be at least 1 step, got 0.05 epochs (0.25 steps)",
        ),
        (
            {"every": 0},
            "training.ema.every: every must be at least 1, got 0",
        ),
        (
            {"power": 1.0, "ramp": 5.0},
            "training.ema.power: power must be null with ramp, got 1",
        ),
        (
            {"power": 1.0, "warmup": True},
            "training.ema.power: power must be null with warmup, got 1",
        ),
        (
            {"kind": "swa", "decay": 0.9},
            "training.ema.decay: unknown field 'decay' (known: kind, ",
        ),
        (
            {"decay": {"kind": "plateau"}},
            "training.ema.schedules.decay.kind: kind plateau follows a metric and is allowed only "
            "in the top-level field schedule, not in a group or for another hyperparameter",
        ),
        (
            {"schedules": {"ramp": {"kind": "cosine"}}},
            "training.ema.schedules.ramp: schedules must be for decay, got 'ramp'",
        ),
    ],
)
def test_an_average_that_cannot_be_is_refused(ema: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(dataset=BATCHES, ema=ema)

    assert text in str(caught.value)


def test_a_decay_may_reach_1_and_no_more() -> None:
    check_values(spec_of(ema={"decay": {"kind": "linear", "value": 0.5, "end": 1.0, "length": 6}}))

    with pytest.raises(SpecError) as caught:
        check_values(spec_of(ema={"decay": {"kind": "linear", "value": 0.9, "end": 1.2}}))

    assert str(caught.value).startswith(
        "training.ema.schedules.decay: decay must be at most 1 at every step, got 1.0"
    )


def test_a_duration_that_is_not_whole_is_named() -> None:
    spec = spec_of(dataset=BATCHES, ema={"every": {"epochs": 0.5}})

    assert list(rounded_durations(spec)) == [
        "training.ema.every: 0.5 epochs (2.5 steps) are rounded to 2 steps"
    ]


@pytest.mark.parametrize(
    ("ema", "warnings"),
    [
        ({"begin": 9, "copy_first": True}, []),
        ({"begin": 7, "every": 5}, []),
        ({"begin": 3, "every": 5, "power": 1.0}, []),
        ({"kind": "swa", "begin": {"epochs": 1}, "every": 2}, []),
        (
            {"begin": 12},
            ["training.ema.begin: the average is not updated after 12 steps, it copies weights"],
        ),
        (
            {"kind": "swa", "begin": 20, "every": 2},
            ["training.ema.begin: the average is not updated after 20 steps, it copies weights"],
        ),
        (
            {"kind": "swa"},
            ["training.ema.begin: the average is updated once after it, so it is no mean"],
        ),
        (
            {"begin": 4, "every": 5},
            ["training.ema.begin: is not used, since there is no update of the average in 4 steps"],
        ),
        (
            {"every_from": "epoch"},
            ["training.ema.every_from: is not used, since every is 1"],
        ),
        (
            {"every": 13},
            ["training.ema.every: the average is never updated in 12 steps"],
        ),
        (
            {"begin": 1, "copy_first": True, "schedules": {"decay": {"kind": "linear"}}},
            [],
        ),
    ],
)
def test_an_average_that_does_not_move_is_named(ema: dict[str, Any], warnings: list[str]) -> None:
    assert list(unused_fields(spec_of(dataset=BATCHES, ema=ema))) == warnings


def test_the_average_of_a_network_without_statistics_has_none_to_copy() -> None:
    assert list(unused_fields(spec_of(ema={"statistics": "copy"}))) == [
        "training.ema.statistics: is not used, since the network has no batch_norm"
    ]
    assert list(unused_fields(spec_of(ema={"statistics": "copy"}, model=NORMALISED))) == []


def test_the_json_of_an_average_of_0_2_0_is_what_it_was() -> None:
    assert ShadowEma.parse({"decay": 0.9}).model_dump(mode="json") == {
        "decay": 0.9,
        "warmup": False,
    }
