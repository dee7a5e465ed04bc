"""Stored specs of release 0.2.0 in the words of today."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec.errors import SpecError
from optcore.spec.former.translation import translated, with_former_defaults
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import run

COSINE = {"kind": "cosine"}
DEFAULTS = {"loss_scale": 1.0, "average": None}


def test_every_word_is_put_in_its_place() -> None:
    clip = {"kind": "norm", "max": 1.0}
    stored = run(
        optimizer={
            **{"kind": "adam", "lr": 0.1, "clip": None, "loss_scale": 8.0},
            "average": {"momentum": 0.9, "overwrite_every": 3},
            "schedules": {"lr": COSINE, "beta1": {"kind": "linear"}},
        },
        schedule={"kind": "constant"},
        training={"steps": 20, "clip": clip, "loss_scale": None, "ema": None},
    )

    assert translated(stored) == run(
        optimizer={
            **{"kind": "adam", "lr": 0.1, "clip": clip},
            "schedules": {"beta1": {"kind": "linear"}},
        },
        schedule=COSINE,
        training={
            "steps": 20,
            "loss_scale": {"kind": "fixed", "scale": 8.0, "drop_overflow": False},
            "ema": {"kind": "keras", "decay": 0.9, "overwrite_every": 3},
        },
    )


def groups_of(*groups: dict[str, Any], **optimizer: Any) -> list[dict[str, Any]]:
    """Return the groups of a stored optimizer, translated, without what is as it was."""
    kept = [{"match": "*", **group} for group in groups]
    found = translated(run(optimizer={"kind": "adamw", "groups": kept, **optimizer}))
    return [
        {name: group.get(name) for name in ("lr", "schedule")}
        for group in found["optimizer"]["groups"]
    ]


def kind_of(group: dict[str, Any]) -> tuple[Any, Any]:
    return group["lr"], group["schedule"] and group["schedule"]["kind"]


@pytest.mark.parametrize(
    ("group", "shared", "expected"),
    [
        ({"schedules": {"lr": COSINE}}, {}, (None, "cosine")),
        ({"lr": {**COSINE, "value": 0.5}}, {}, (0.5, "cosine")),
        ({"lr": COSINE}, {}, (0.001, "cosine")),  # adamw's default, as 0.2.0 took it
        ({"lr": COSINE, "schedule": {"kind": "linear"}}, {}, (0.001, "linear")),
        ({"lr": 0.5}, {"lr": COSINE}, (0.5, "constant")),
        ({"schedules": {"beta1": COSINE}}, {"lr": COSINE}, (None, "constant")),
        ({"lr": 0.5, "schedule": {"kind": "linear"}}, {"lr": COSINE}, (0.5, "linear")),
        ({"lr_scale": 0.5}, {"lr": COSINE}, (None, None)),
        ({"lr": 0.5}, {}, (0.5, None)),
    ],
)
def test_the_lr_of_a_group_moves_as_it_did(
    group: dict[str, Any], shared: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    (found,) = groups_of(group, schedules=shared)

    assert kind_of(found) == expected


def test_a_spec_of_today_stays_as_it_is() -> None:
    for spec in (
        run(),
        run(training={"steps": 20, "ema": {"decay": 0.9}}),
        run(training={"steps": 20, "ema": {"kind": "keras"}, "loss_scale": {"kind": "dynamic"}}),
        run(optimizer={"kind": "adam", "clip": {"kind": "norm", "max": 1.0}}),
    ):
        dumped = RunSpec.parse(spec).model_dump(mode="json")

        assert translated(spec) == spec
        assert translated(dumped) == dumped
        assert translated(with_former_defaults(dumped)) == dumped
        assert RunSpec.parse(dumped).model_dump(mode="json") == dumped


def test_a_shadow_is_dumped_without_its_kind_which_the_release_before_does_not_know() -> None:
    spec = RunSpec.parse(run(training={"steps": 20, "ema": {"kind": "shadow", "decay": 0.9}}))

    assert spec.model_dump(mode="json")["training"]["ema"] == {"decay": 0.9, "warmup": False}


def test_a_stored_spec_with_two_averages_is_refused_with_a_sentence() -> None:
    stored = run(
        optimizer={"kind": "adam", "average": {"momentum": 0.9}},
        training={"steps": 20, "ema": {"decay": 0.9}},
    )

    with pytest.raises(SpecError, match=r"^optimizer\.average: average belongs to the training"):
        RunSpec.parse_accepted(translated(stored))


def test_a_loss_scale_beyond_todays_limit_is_still_read() -> None:
    stored = run(optimizer={"kind": "adam", "loss_scale": 3e38})

    scale = RunSpec.parse_accepted(translated(stored)).loss_scale

    assert scale is not None
    assert scale.kind == "fixed"
    assert scale.scale == 3e38


@pytest.mark.parametrize("damaged", [{}, {"optimizer": 3, "training": {}}, {"training": {}}])
def test_what_is_no_spec_is_left_to_whatever_reads_it(damaged: dict[str, Any]) -> None:
    assert translated(damaged) == damaged
