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
from tests.support.optcore.moving.search import Search

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
SOMETIMES = {
    # The decay is not 0, so that every step is scaled anyway.
    *(("lamb", "always_adapt"), ("lars", "always_adapt")),
    # Limits that the small steps of these do not reach, and copies that hold the same.
    *((kind, "clip_update") for kind in ("adadelta", "adafactor", "lars")),
    *((kind, "multi_precision") for kind in ("adadelta", "lars")),
    # With slots of 32 bits, float32 hyperparameters move a step by signs by no bit here.
    ("lion", "backend"),
    # It scales an eps of 1e-7, which is far below the norms here.
    ("muon", "scale_eps"),
}
"""Fields that change nothing in some of the specs here, for a reason that is no other field."""


@cache
def search(kind: str, dialect: str) -> Search[OptimizerSpec]:
    # Fields that all optimizers have need no other field to have an effect, and others need none
    # of them but the weight decay, with and without which there is a spec.
    alone = frozenset(OptimizerSpec.model_fields)
    return Search(parse, updates.effect, skip=NOT_MOVED, alone=alone)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dialect"), updates.kinds())
def test_every_field_changes_the_run_or_is_refused(kind: str, dialect: str) -> None:
    found = search(kind, dialect).of(updates.bases(kind, dialect))

    idle = {(kind, dialect, *each.path) for each in found if each.idle}
    assert idle - WITHOUT_EFFECT == set()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dialect"), updates.kinds())
def test_a_field_that_another_field_makes_useless_is_warned_of(kind: str, dialect: str) -> None:
    """The warnings are a part of the effect."""
    bases = updates.bases(kind, dialect)
    idle = search(kind, dialect).idle_somewhere(bases)

    # A base itself may set a field that is useless there, such as lr beside relative_step.
    warned = {name for base in bases for name in updates.effect(parse(base))[2]}
    # The dialect aside: in many specs two frameworks compute the same.
    useless = {(kind, path[0]) for path in idle if path[0] not in {*warned, "dialect"}}
    assert useless - SOMETIMES == set()


def test_every_field_of_one_optimizer_changes_the_run_or_is_refused() -> None:
    """What `make test` has of the tests above."""
    test_every_field_changes_the_run_or_is_refused("rmsprop", "torch")
    test_a_field_that_another_field_makes_useless_is_warned_of("rmsprop", "torch")


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

    *ours, warned_of = updates.effect(parse({**spec, "relative_step": False}))

    assert ours == [*updates.effect(parse(spec))[:2]]
    assert warned_of == {"relative_step"}


@pytest.mark.parametrize("kind", ["proximal_adagrad", "sag"])
def test_dialects_without_effect_have_one_formula(kind: str) -> None:
    spec = {"kind": kind, "lr": 0.05}

    effects = [updates.effect(parse({**spec, "dialect": d})) for d in OPTIMIZERS[kind].DIALECTS]

    assert effects[0] == effects[1]


def test_the_order_of_parameters_changes_nothing() -> None:
    """MindSpore's order_params: the names are checked, and the spec keeps them."""
    spec = {"kind": "adam", "dialect": "mindspore", "clip": {"kind": "global_norm", "max": 0.1}}

    *ordered, warned_of = updates.effect(parse({**spec, "order_params": updates.NAMES[::-1]}))

    assert ordered == [*updates.effect(parse(spec))[:2]]
    assert warned_of == {"order_params"}
    with pytest.raises(SpecError, match="order_params must name every parameter"):
        updates.effect(parse({**spec, "order_params": ["weight"]}))


def test_hardly_any_field_is_without_effect() -> None:
    moved = sum(len(OPTIMIZERS[kind].model_fields) for kind, _ in updates.kinds())

    assert len(WITHOUT_EFFECT) <= 0.02 * moved
