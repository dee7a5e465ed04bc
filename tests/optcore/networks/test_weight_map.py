"""Which weights of another network a network takes, and the texts about those that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from optcore.spec.errors import Problem, SpecError
from optcore.spec.groups.matching import Parameter
from optcore.spec.networks.network import Network
from optcore.spec.networks.weight_map import WeightMap, check_map
from optcore.spec.run import RunSpec
from tests.support.optcore.layers.networks import network_of
from tests.support.optcore.runs.run_specs import run

Json = dict[str, Any]


def mapped(*prefixes: tuple[str, str], **parts: list[str]) -> WeightMap:
    return WeightMap.read({"prefixes": [{"from": a, "to": b} for a, b in prefixes], **parts})


def linear(name: str, out: int, **more: Any) -> Json:
    return {"kind": "linear", "name": name, "out_features": out, **more}


BODY = [linear("a", 5), {"kind": "batch_norm", "name": "norm"}, {"kind": "relu"}]
OTHER = network_of([*BODY, linear("fc", 10)], (3,))
INSIDE = network_of(
    [{"kind": "sequential", "name": "backbone", "layers": BODY}, linear("head", 4)], (3,)
)

UNTIED = {
    "prefixes": [
        {"from": "tokens.weight", "to": "tokens.weight"},
        {"from": "tokens.weight", "to": "head.weight"},
    ]
}


def check(taken: WeightMap, own: Network, theirs: Network) -> None:
    shared = own.shared, theirs.shared
    check_map(taken, own.tensors, theirs.tensors, job="job_1", shared=shared)


def problems(taken: WeightMap, own: Network, theirs: Network = OTHER) -> list[Problem]:
    with pytest.raises(SpecError) as caught:
        check(taken, own, theirs)
    return caught.value.problems


@pytest.mark.parametrize(
    ("prefixes", "sources"),
    [
        ([], {"a.weight": "a.weight"}),
        ([("", "backbone")], {"backbone.a.weight": "a.weight", "a.weight": None, "head.b": None}),
        ([("body", "")], {"a.weight": "body.a.weight"}),
        ([("a", "b.c")], {"b.c.weight": "a.weight", "b.cc.weight": "b.cc.weight", "d": "d"}),
        ([("a.", "b.")], {"b.weight": "a.weight", "a.weight": None}),
        ([("a", "b"), ("x", "b.c")], {"b.c.d.weight": "x.d.weight", "b.weight": "a.weight"}),
        ([("a", "b"), ("a", "c")], {"b.weight": "a.weight", "c.weight": "a.weight"}),
        ([("a", "b"), ("a", "a")], {"b.weight": "a.weight", "a.weight": "a.weight"}),
        ([("tokens.weight", "head.weight")], {"head.weight": "tokens.weight", "head.bias": None}),
        ([("a", "b"), ("b", "a")], {"a.weight": "b.weight", "b.weight": "a.weight"}),
    ],
    ids=str,
)
def test_the_longest_prefix_says_where_a_weight_comes_from(
    prefixes: list[tuple[str, str]], sources: dict[str, str | None]
) -> None:
    taken = mapped(*prefixes)

    if "head.bias" in sources:  # it is under no prefix, and has its own name
        sources = {**sources, "head.bias": "head.bias"}
    assert {name: taken.source_of(name) for name in sources} == sources


def test_a_network_in_another_takes_parameters_and_running_statistics() -> None:
    taken = mapped(("", "backbone"), fresh=["head.*"], omit=["fc.*"])

    check_map(taken, INSIDE.tensors, OTHER.tensors, job="job_1")

    needed = {each.name for each in INSIDE.tensors if not taken.is_fresh(each.name)}
    names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert needed == {
        *("backbone.a.weight", "backbone.a.bias"),
        *(f"backbone.norm.{name}" for name in names),
    }


def test_what_a_fresh_weight_replaces_need_not_be_omitted() -> None:
    own = network_of([*BODY, linear("fc", 4)], (3,))

    check_map(mapped(fresh=["fc.*"]), own.tensors, OTHER.tensors, job="job_1")


def test_an_omitted_weight_is_not_taken_and_must_be_fresh() -> None:
    (problem,) = problems(mapped(omit=["norm.running_*"]), OTHER)

    assert problem.message == (
        "model must have no weights but those of job job_1, which it starts from, got "
        "norm.running_mean, norm.running_var; name in fresh what is initialised, or map names with "
        "prefixes"
    )
    taken = mapped(omit=["norm.running_*"], fresh=["norm.running_*"])
    check_map(taken, OTHER.tensors, OTHER.tensors, job="job_1")


def test_all_differences_are_listed() -> None:
    wider = network_of([linear("a", 6), *BODY[1:], linear("head", 10)], (3,))

    different, missing, left = problems(WeightMap(), wider)

    assert {each.param for each in (different, missing, left)} == {"changes.model"}
    assert different.message == (
        "model must have the weights of job job_1, which it starts from: "
        "a.weight must be linear of shape [5, 3], got linear of shape [6, 3]; "
        "a.bias must be linear of shape [5], got linear of shape [6]; "
        "norm.weight must be batch_norm of shape [5], got batch_norm of shape [6]; "
        "norm.bias must be batch_norm of shape [5], got batch_norm of shape [6]; ... 6 in all"
    )
    assert missing.message == (
        "model must have no weights but those of job job_1, which it starts from, got "
        "head.weight, head.bias; name in fresh what is initialised, or map names with prefixes"
    )
    assert left.message == (
        "model must have all weights of job job_1, which it starts from, got none for "
        "fc.weight, fc.bias; name in omit what is left out, or map names with prefixes"
    )


def test_a_weight_of_another_kind_is_named_as_it_is_called_there() -> None:
    """Both have a weight and a bias of five numbers."""
    own = network_of([linear("a", 5), {"kind": "layer_norm", "name": "ln"}, linear("fc", 10)], (3,))

    different, _ = problems(mapped(("norm", "ln")), own)

    assert different.message == (
        "model must have the weights of job job_1, which it starts from: "
        "ln.weight must be batch_norm of shape [5], as norm.weight there, got layer_norm of shape "
        "[5]; ln.bias must be batch_norm of shape [5], as norm.bias there, got layer_norm of shape "
        "[5]"
    )


@pytest.mark.parametrize(
    ("taken", "param", "message"),
    [
        (
            mapped(("", "bakbone")),
            "prefixes[0].to",
            "to must begin names of weights of the clone, got 'bakbone'; did you mean 'backbone'? ",
        ),
        (
            mapped(("nom", "backbone.norm"), ("a", "backbone.a")),
            "prefixes[0].from",
            "from must begin names of weights of job job_1, got 'nom'; did you mean 'norm'? (a",
        ),
        (
            mapped(("", "backbone"), fresh=["haed.*"]),
            "fresh[0]",
            "fresh must find weights of the clone, got 'haed.*'; did you mean 'head.*'? (",
        ),
        (
            mapped(("", "backbone"), fresh=["head.*"], omit=["fc.*", "fd.bias"]),
            "omit[1]",
            "omit must find weights of job job_1, got 'fd.bias'; did you mean 'fc.bias'? (a",
        ),
        (
            mapped(("", "backbone"), ("fc", "head"), fresh=["head.*"]),
            "prefixes[1].to",
            "to must begin names that are not in fresh and have no longer prefix, got 'head'",
        ),
        (
            mapped(fresh=["*"]),
            "changes.model",
            "fresh must leave weights to take, got globs that find all",
        ),
    ],
)
def test_a_part_of_the_map_that_does_nothing_is_refused(
    taken: WeightMap, param: str, message: str
) -> None:
    (problem,) = problems(taken, INSIDE)

    assert problem.param == param
    assert problem.message.startswith(message)


def test_globs_for_a_large_network_are_counted_before_they_are_tried() -> None:
    many = [Parameter(f"{i}.weight", (1,), "linear") for i in range(20_000)]
    taken = WeightMap(fresh=[f"x{i}.*" for i in range(100)])

    with pytest.raises(SpecError) as caught:
        check_map(taken, many, many, job="job_1")

    assert caught.value.problems == [
        Problem(
            "fresh",
            "fresh and omit must compare at most 20000000 characters, got 457780 in the names of "
            "the weights times 100 for globs: 1 for one with * only at its ends, 2 for each "
            "wildcard of another (with ? or [ at least 10)",
        )
    ]


def test_of_many_useless_parts_the_first_are_told_and_the_others_counted() -> None:
    taken = mapped(*((f"x{i}", f"y{i}") for i in range(50)), fresh=[f"z{i}.*" for i in range(50)])

    with pytest.raises(SpecError) as caught:
        check_map(taken, OTHER.tensors, OTHER.tensors, job="job_1")

    params = [each.param for each in caught.value.problems]
    assert params == ["prefixes[0].from", "prefixes[0].to", "prefixes[1].from", "prefixes[1].to"]
    assert caught.value.more == 2 * 50 + 50 - 4


def test_a_shared_weight_is_taken_by_its_own_name() -> None:
    tied = network_of([linear("a", 3), linear("b", 3, share={"weight": "a.weight"})], (3,))
    free = network_of([linear("a", 3), linear("b", 3)], (3,))

    assert [each.name for each in tied.tensors] == ["a.weight", "a.bias", "b.bias"]
    check_map(mapped(("a.weight", "b.weight"), ("a", "a")), free.tensors, tied.tensors, job="j")
    check_map(mapped(omit=["b.weight"]), tied.tensors, free.tensors, job="j")


TIED = network_of([linear("a", 3), linear("b", 3, share={"weight": "a.weight"})], (3,))


@pytest.mark.parametrize("part", ["fresh", "omit"])
@pytest.mark.parametrize("glob", ["b.*", "b.weight"])
def test_another_name_of_a_shared_weight_is_refused(part: str, glob: str) -> None:
    """The bias would be initialised, or left out, and the weight taken all the same."""
    (problem,) = problems(mapped(**{part: ["b.bias", glob]}), TIED, TIED)

    assert problem.param == f"{part}[1]"
    assert problem.message == (
        f"{part} must find a shared weight by its own name, got {glob!r}, which finds b.weight, "
        "the same weight as a.weight"
    )


def test_a_glob_that_finds_all_names_of_a_shared_weight_is_accepted() -> None:
    both = {"fresh": ["*.weight"], "omit": ["*.weight"]}

    check(mapped(**both), TIED, TIED)


def gpt(*, tied: bool) -> Network:
    model = {"kind": "gpt", "width": 32, "depth": 1, "heads": 2, "tie_embeddings": tied}
    text = {"kind": "text", "length": 16, "file": "x.txt", "train_windows": 100}
    dataset = {**text, "validation_windows": 10, "test_windows": 10, "batch_size": 4}
    return RunSpec.parse(run(model=model, dataset=dataset)).network


def test_a_tied_embedding_gives_its_weight_to_a_head_of_its_own() -> None:
    own = gpt(tied=False)

    check_map(WeightMap.read(UNTIED), own.tensors, gpt(tied=True).tensors, job="job_1")

    taken = WeightMap.read(UNTIED)
    assert {taken.source_of(each) for each in ("tokens.weight", "head.weight")} == {"tokens.weight"}


def test_the_docs_show_how_to_untie_an_embedding() -> None:
    text = Path("docs/training.md").read_text(encoding="utf-8")

    assert f"`{json.dumps(UNTIED)}`" in " ".join(text.split())


def test_a_map_is_stored_without_empty_parts() -> None:
    taken = mapped(("", "backbone."), omit=["fc.*"])

    stored = {"prefixes": [{"from": "", "to": "backbone."}], "omit": ["fc.*"]}
    assert taken.stored() == stored
    assert WeightMap.read(stored) == taken
    assert WeightMap().stored() == {}
    assert not WeightMap.read({"job": "job_1"})
