"""Every field of every optimizer, moved in every dialect, changes the run or is refused."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from optcore.optimizers.make import make_optimizer, parse
from optcore.spec.errors import SpecError
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from tests.support.optcore.moving import updates
from tests.support.optcore.moving.search import Found, Search

NOT_MOVED = frozenset({"groups", "schedules", "engine", "order_params"})
"""Those with tests of their own: here, or in test_groups.py."""
WITHOUT_EFFECT = {
    ("adafactor", "keras", "relative_step"),  # Keras has the argument and does not read it
    ("proximal_adagrad", "mindspore", "dialect"),  # one formula, and the same float32 numbers
    ("proximal_adagrad", "tf1", "dialect"),
    ("sag", "article", "dialect"),  # Paddle computes what the article says
    ("sag", "paddle", "dialect"),
}
"""Fields that change nothing, with the reason."""


@cache
def found(kind: str, dialect: str) -> list[Found]:
    # Fields that all optimizers have need no other field to have an effect, and others need none
    # of them but the weight decay, with and without which there is a spec.
    alone = frozenset(OptimizerSpec.model_fields)
    search = Search(parse, updates.effect, skip=NOT_MOVED, alone=alone)
    return search.of(updates.bases(kind, dialect))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dialect"), updates.kinds())
def test_every_field_changes_the_run_or_is_refused(kind: str, dialect: str) -> None:
    idle = {(kind, dialect, *each.path) for each in found(kind, dialect) if each.idle}

    assert idle - WITHOUT_EFFECT == set()


def test_every_field_of_one_optimizer_changes_the_run_or_is_refused() -> None:
    """What `make test` has of the test above."""
    test_every_field_changes_the_run_or_is_refused("rmsprop", "torch")


FALLS_BACK = {("sgd", "keras")}
"""Where the decay is decoupled, which torch's kernel does not do: fused is eager then."""


@pytest.mark.parametrize(("kind", "dialect"), [k for k in updates.kinds() if k[0] != "lbfgs"])
def test_an_engine_is_chosen_or_refused(kind: str, dialect: str) -> None:
    """``auto`` is eager or fused; it has no third way to be."""
    engines = {}
    for engine in ("auto", "eager", "fused"):
        try:
            spec = parse({"kind": kind, "dialect": dialect, "lr": 0.1, "engine": engine})
        except SpecError:
            continue
        named = [("weight", torch.zeros(4, 16, requires_grad=True))]
        engines[engine] = make_optimizer(named, spec).engine

    assert engines["auto"] in ("eager", "fused")
    assert engines["eager"] == "eager"
    assert engines.get("fused", "fused") == ("eager" if (kind, dialect) in FALLS_BACK else "fused")


def test_keras_falls_with_t_whatever_relative_step_says() -> None:
    spec = {"kind": "adafactor", "dialect": "keras", "lr": 0.05}

    assert updates.effect(parse({**spec, "relative_step": False})) == updates.effect(parse(spec))


@pytest.mark.parametrize("kind", ["proximal_adagrad", "sag"])
def test_dialects_without_effect_have_one_formula(kind: str) -> None:
    spec = {"kind": kind, "lr": 0.05}

    effects = [updates.effect(parse({**spec, "dialect": d})) for d in OPTIMIZERS[kind].DIALECTS]

    assert effects[0] == effects[1]


def test_the_order_of_parameters_changes_nothing() -> None:
    """MindSpore's order_params: the names are checked, and the spec keeps them."""
    spec = {"kind": "adam", "dialect": "mindspore", "clip": {"kind": "global_norm", "max": 0.1}}

    ordered = updates.effect(parse({**spec, "order_params": updates.NAMES[::-1]}))

    assert ordered == updates.effect(parse(spec))
    with pytest.raises(SpecError, match="order_params must name every parameter"):
        updates.effect(parse({**spec, "order_params": ["weight"]}))


def test_hardly_any_field_is_without_effect() -> None:
    moved = sum(len(OPTIMIZERS[kind].model_fields) for kind, _ in updates.kinds())

    assert len(WITHOUT_EFFECT) <= 0.02 * moved
