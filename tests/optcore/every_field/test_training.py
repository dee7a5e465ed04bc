"""Every field of training, losses, models and datasets changes the run, its plan or its record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from optcore.spec.layers.base import LayerSpec
from optcore.spec.run import RunSpec
from optserve.contract.requests.job import JobSpec
from tests.support.optcore.moving import trained, updates
from tests.support.optcore.moving.search import Search

OTHER_TESTS = frozenset(
    {"optimizer", "schedule", *JobSpec.model_fields.keys() - RunSpec.model_fields.keys()}
)
"""Parts of a job whose fields other tests move."""
SOMETIMES = {
    # A power of two changes no bit of a gradient that neither vanishes nor overflows.
    ("training", "loss_scale"),
    # Where every gradient is finite, or none is.
    *(("training", "loss_scale", name) for name in ("backoff", "growth", "window")),
    # Where nothing diverges, and the loss scale may skip updates anyway.
    ("training", "on_divergence"),
    # Where the metric never improves by so much, or always, whichever it is.
    ("training", "early_stopping"),
    # Where the windows fill the image.
    ("model", "layers", 3, "ceil_mode"),
    *(("training", "early_stopping", name) for name in ("metric", "min_delta", "patience")),
}
"""Fields that change nothing in some of the jobs here, for a reason that is no other field."""
MOMENTUM = {"kind": "momentum", "lr": 0.1}


@cache
def search() -> Search[JobSpec]:
    return Search(JobSpec.parse, trained.effect, skip=OTHER_TESTS)


PARTS: dict[tuple[str, ...], list[dict[str, Any]]] = {
    ("training",): trained.trainings(MOMENTUM),
    ("training", "loss"): trained.losses(MOMENTUM),
    ("model",): trained.models(MOMENTUM),
    ("dataset",): trained.datasets(MOMENTUM),
}
"""Path of a part of a job -> jobs with all that may stand there."""
LARGE = {"resnet", "mobilenet_v3", "crnn", "vit"}
"""Networks of which a step takes long."""
SMALL = {
    **PARTS,
    ("model",): [each for each in PARTS["model",] if each["model"]["kind"] not in LARGE],
}


def reachable(kind: object) -> Iterator[type[BaseModel]]:
    """Yield the specs that a field of type *kind* may hold, and those in them, but no layers."""
    # tests/optcore/networks/test_every_layer.py moves the fields of layers, which hold layers.
    if isinstance(kind, type) and issubclass(kind, LayerSpec):
        return
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for name, field in kind.model_fields.items():
            # What stands in ``schedules`` is moved where it stands in an optimizer.
            if name not in OTHER_TESTS | {"schedules"}:
                yield from reachable(field.annotation)
    for part in get_args(kind):
        yield from reachable(part)


def test_every_job_whose_fields_are_moved_is_accepted() -> None:
    """Nothing is moved in one that is refused."""
    for base in (base for bases in PARTS.values() for base in bases):
        JobSpec.parse(base)


def test_every_part_of_a_run_is_moved() -> None:
    """So that what is added to a spec is moved by the tests below."""
    moved = {place.owner for bases in PARTS.values() for place in search().fields(bases)}

    assert set(reachable(JobSpec)) <= moved


@pytest.mark.parametrize("part", SMALL)
def test_every_field_changes_the_run_or_is_refused(part: tuple[str, ...]) -> None:
    found = search().of(SMALL[part], within=part)

    assert {each.path for each in found if each.idle} == set()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", sorted(LARGE))
def test_every_field_of_a_large_network_changes_the_run_or_is_refused(kind: str) -> None:
    bases = [each for each in PARTS["model",] if each["model"]["kind"] == kind]

    found = search().of(bases, within=("model",))

    assert {each.path for each in found if each.idle} == set()


@pytest.mark.parametrize("part", SMALL)
def test_a_field_that_another_field_makes_useless_is_warned_of(part: tuple[str, ...]) -> None:
    """The warnings are a part of the effect."""
    assert search().idle_somewhere(SMALL[part], within=part) - SOMETIMES == set()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dialect"), updates.kinds())
def test_every_field_of_training_counts_beside_every_optimizer(kind: str, dialect: str) -> None:
    bases = trained.trainings({"kind": kind, "dialect": dialect, "lr": 0.05})

    found = search().of(bases, within=("training",))

    assert {each.path for each in found if each.idle} == set()
