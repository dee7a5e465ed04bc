"""Every field that a group can set, moved in a group of every optimizer, changes the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from optcore.optimizers.make import parse
from optcore.spec.errors import SpecError
from optcore.spec.groups.groups import NOT_PER_GROUP, Group
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from tests.optcore.every_field.test_optimizers import WITHOUT_EFFECT
from tests.support.optcore.moving import updates
from tests.support.optcore.moving.search import Search
from tests.support.optcore.moving.values import others

TOGETHER: dict[tuple[str, str], dict[str, Any]] = {
    ("adabelief", "degenerated_to_sgd"): {"rectify": True},
    ("adafactor", "lr"): {"relative_step": False},
    ("muon", "scale_eps"): {"ns_eps": 0.5},
}
"""Field of an optimizer -> what a group may have to say as well, so that it has an effect."""


def tried(spec: dict[str, Any]) -> object:
    """Return the effect of *spec*; None if it is refused."""
    try:
        return updates.effect(parse(spec))
    except SpecError:
        return None


def moved(kind: str, dialect: str, name: str) -> Iterator[tuple[object, object]]:
    """Yield the effect of a group, and of the same group with another value of the field *name*."""
    match: dict[str, Any] = {"match": "*"}
    for base in updates.bases(kind, dialect):
        now = getattr(parse(base), name)
        for group in (match, {**match, **TOGETHER.get((kind, name), {})}):
            before = tried({**base, "groups": [group]})
            for value in others(OPTIMIZERS[kind].model_fields[name], now):
                after = tried({**base, "groups": [{**group, name: value}]})
                if before is not None and after is not None:
                    yield before, after


def idle_in_groups(kind: str, dialect: str) -> set[str]:
    found = set()
    for name in OPTIMIZERS[kind].model_fields.keys() - NOT_PER_GROUP - {"schedules"}:
        accepted = False
        for before, after in moved(kind, dialect, name):
            accepted = True
            if before != after:
                break
        else:
            if accepted and (kind, dialect, name) not in WITHOUT_EFFECT:
                found.add(name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dialect"), [k for k in updates.kinds() if k[0] != "lbfgs"])
def test_every_field_of_an_optimizer_counts_in_a_group(kind: str, dialect: str) -> None:
    assert idle_in_groups(kind, dialect) == set()


def test_every_field_of_one_optimizer_counts_in_a_group() -> None:
    """What `make test` has of the test above."""
    assert idle_in_groups("adamw", "torch") == set()


def test_every_field_of_a_group_itself_changes_the_run_or_is_refused() -> None:
    base = {"kind": "adamw", "lr": 0.05}
    groups: list[dict[str, Any]] = [
        {"match": {"name": ["weight", "bias"]}, "lr_scale": 0.5},
        {"match": {"ndim": 1}, "lr_scale": 0.5},
        {"match": {"module": "linear"}, "lr_scale": 0.5},
        {"match": "weight", "lr_scale": 0.5, "schedule": {"kind": "linear"}},
        {"preset": "layer_decay", "factor": 0.5},
        {"preset": "no_decay_norm_bias"},
    ]
    search = Search[OptimizerSpec](parse, updates.effect, skip=frozenset({"schedule"}))

    found = search.of([{**base, "groups": [group]} for group in groups], within=("groups",))

    assert {each.path for each in found if each.idle} == set()
    assert {each.path[-1] for each in found} >= Group.model_fields.keys() - {"schedule"}
