"""What stays of a job where a clone changes the kind of a part."""

from typing import Any

import pytest

from api.jobs.changed_kinds import without_unknown

COSINE = {"kind": "cosine", "length": {"epochs": 8}, "end": 0.1}
POSTED: dict[str, Any] = {
    "name": "a",
    "labels": {"team": "ocr"},
    "model": {"kind": "mlp", "hidden": [16]},
    "optimizer": {
        "kind": "adam",
        "lr": 0.1,
        "beta1": 0.5,
        "beta2": {"kind": "linear", "value": 0.9, "end": 0.8, "length": 9},
        "clip": {"kind": "adaptive", "max": 0.1, "eps": 0.01},
        "schedules": {"eps": COSINE},
        "groups": [{"match": "*.bias"}],
    },
    "schedule": {"kind": "shift", "by": 3, "schedule": COSINE},
    "training": {
        "epochs": 4,
        "loss": {"kind": "cross_entropy", "label_smoothing": 0.1},
        "ema": {"kind": "shadow", "decay": 0.9, "every": 2},
        "loss_scale": {"kind": "dynamic", "growth": 4.0},
    },
}


@pytest.mark.parametrize(
    ("changes", "removed"),
    [
        ({"optimizer": {"kind": "momentum"}}, [("optimizer", "beta1"), ("optimizer", "beta2")]),
        ({"schedule": {"kind": "linear"}}, [("schedule", "by"), ("schedule", "schedule")]),
        ({"schedule": {"schedule": {"kind": "rex"}}}, []),
        ({"schedule": {"schedule": {"kind": "exponential"}}}, [("schedule", "schedule", "length")]),
        ({"training": {"loss": {"kind": "mse"}}}, [("training", "loss", "label_smoothing")]),
        ({"model": {"kind": "mnist_cnn"}}, [("model", "hidden")]),
        ({"training": {"ema": {"kind": "swa"}}}, [("training", "ema", "decay")]),
        ({"training": {"loss_scale": {"kind": "fixed"}}}, [("training", "loss_scale", "growth")]),
        ({"optimizer": {"clip": {"kind": "norm"}}}, [("optimizer", "clip", "eps")]),
        (
            {"optimizer": {"schedules": {"eps": {"kind": "constant"}}}},
            [("optimizer", "schedules", "eps", "end")],
        ),
        (
            {"optimizer": {"beta2": {"kind": "constant"}}},
            [("optimizer", "beta2", "end")],
        ),
        ({"labels": {"kind": "linear"}}, []),
        ({"training": {"steps": 9}}, [("training", "epochs")]),
        ({"training": {"steps": 9, "epochs": 3}}, []),
        ({"training": {"steps": None}}, []),
        ({"training": {"epochs": 3}}, []),
        ({"optimizer": {"kind": "adam", "beta2": 0.5}}, []),
        ({"optimizer": {"kind": "adamm"}}, []),
        ({"optimizer": {"kind": ["sgd"]}}, []),
        ({"optimizer": None, "schedule": [], "training": {"loss": "mse"}}, []),
        ({}, []),
    ],
)
def test_fields_that_only_the_kind_before_has_are_removed(
    changes: dict[str, Any], removed: list[tuple[str, ...]]
) -> None:
    found = set(_leaves(without_unknown(POSTED, changes)))

    gone = {path for path in _leaves(POSTED) if any(path[: len(each)] == each for each in removed)}
    assert found == set(_leaves(POSTED)) - gone
    assert len(gone) >= len(removed)


def test_another_backbone_has_none_of_the_fields_of_the_one_before() -> None:
    posted = {"model": {"kind": "crnn", "backbone": {"kind": "mobilenet_v3", "scale": 0.5}}}

    found = without_unknown(posted, {"model": {"backbone": {"kind": "resnet_vd"}}})

    assert found == {"model": {"kind": "crnn", "backbone": {"kind": "mobilenet_v3"}}}


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [path]
    return [leaf for name, each in value.items() for leaf in _leaves(each, (*path, name))]
