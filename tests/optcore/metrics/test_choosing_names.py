"""What the JSON Schemas say of the metrics that a run may name: what is accepted, and no more."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from optcore.metrics.catalogue import metrics
from optcore.schedules.families.plateau import Plateau
from optcore.spec.errors import SpecError
from optcore.spec.evaluation import FORMER_METRICS, EarlyStopping
from optcore.spec.run import RunSpec
from optcore.spec.training import Training
from tests.optcore.metrics.test_catalogue import METRIC, installed
from tests.support.optcore.packages import forget

Parse = Callable[[str], object]
FIELDS: dict[str, tuple[Any, str, Parse]] = {
    "keep_best": (
        Training,
        "keep_best",
        # An average, so that the names of its metrics are accepted too.
        lambda name: Training.parse({"steps": 1, "ema": {"decay": 0.9}, "keep_best": name}),
    ),
    "early_stopping": (
        EarlyStopping,
        "metric",
        lambda name: EarlyStopping.parse({"patience": 1, "metric": name}),
    ),
    "plateau": (Plateau, "metric", lambda name: Plateau.parse({"kind": "plateau", "metric": name})),
}
"""A field -> its spec, its name there, and what parses a spec with it."""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The list of metrics is read once in a process."""
    forget(monkeypatch)
    metrics.cache_clear()
    yield
    metrics.cache_clear()


RUN: dict[str, Any] = {
    "model": {"kind": "mlp"},
    "dataset": {"kind": "digits"},
    "optimizer": {"kind": "sgd"},
}


def listed(spec: Any, name: str) -> list[str]:
    """Return the texts that the schema of a field allows."""
    schema = spec.model_json_schema()
    own = schema["$defs"][spec.__name__] if "$ref" in schema else schema
    field = own["properties"][name]
    parts = [field, *field.get("anyOf", []), field.get("items", {})]
    (found,) = [part["enum"] for part in parts if "enum" in part]
    return found  # type: ignore[no-any-return]


def accepted(parse: Parse, name: str) -> bool:
    try:
        parse(name)
    except SpecError:
        return False
    return True


def candidates() -> Iterator[str]:
    yield from ("", "loss", "val_", "ema_val_", "train_loss", "val_los", "val_loss ", "VAL_LOSS")
    yield from FORMER_METRICS
    prefixes = ("", "ema_", "val_", "ema_val_", "test_", "ema_test_", "val_ema_", "train_")
    for prefix, name in product(prefixes, [*metrics(), "own", "sum"]):
        yield prefix + name


def disagreements(field: str) -> list[str]:
    spec, name, parse = FIELDS[field]
    allowed = listed(spec, name)
    assert len(allowed) == len(set(allowed)) > 20
    return [text for text in candidates() if accepted(parse, text) != (text in allowed)] + [
        text for text in allowed if not accepted(parse, text)
    ]


@pytest.mark.parametrize("field", FIELDS)
def test_the_schema_lists_exactly_what_is_accepted(field: str) -> None:
    assert disagreements(field) == []


@pytest.mark.parametrize("field", FIELDS)
def test_metrics_of_installed_packages_are_listed(
    field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, METRIC.format(name="own"), monkeypatch)

    spec, name, _ = FIELDS[field]

    assert {"val_own", "ema_val_own"} <= set(listed(spec, name))
    assert disagreements(field) == []


def test_only_schedules_observe_the_training_loss() -> None:
    found = {field: "train_loss" in listed(spec, name) for field, (spec, name, _) in FIELDS.items()}

    assert found == {"keep_best": False, "early_stopping": False, "plateau": True}


def test_metrics_on_request_are_those_of_any_task_that_have_no_field_of_their_own() -> None:
    allowed = listed(Training, "metrics")

    assert sorted(allowed) == sorted(set(metrics()) - {"top_k", "confusion"})
    for name in metrics():
        if accepted(with_metric, name):
            assert name in allowed


def with_metric(name: str) -> RunSpec:
    return RunSpec.parse({**RUN, "training": {"steps": 1, "metrics": [name]}})
