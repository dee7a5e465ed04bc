"""What a clone may ask for, and the merge patch that makes its spec."""

from typing import Any

import pytest

from optcore.spec.errors import SpecError
from optserve.contract.requests.clone import CloneSpec, merge_patch
from optserve.contract.requests.job import JobSpec


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_cases_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_neither_target_nor_patch_is_changed() -> None:
    target: dict[str, Any] = {"a": {"b": 1}}
    patch: dict[str, Any] = {"a": {"c": {"d": None}}}

    merge_patch(target, patch)

    assert target == {"a": {"b": 1}}
    assert patch == {"a": {"c": {"d": None}}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"from": "first"}, "from: from must be last, best, or the step of a checkpoint, got"),
        ({"from": True}, "from must be last, best, or the step of a checkpoint, got true"),
        ({"from": -1}, "from must be last, best, or the step of a checkpoint, got -1"),
        ({"from": "{x}"}, r"got '\{x\}'"),
        ({"source": 1}, r"unknown field 'source' \(known: from, keep, changes\)"),
        ({"keep": "all"}, "keep must be one of weights, optimizer, got 'all'"),
        ({"changes": []}, r"changes must be an object, got \[\]"),
    ],
)
def test_what_it_cannot_be_is_a_sentence(body: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        CloneSpec.parse(body)


def test_a_job_as_it_was_posted_is_the_same_job() -> None:
    """What a clone changes is what was written: defaults follow a kind or dialect that changes."""
    posted: dict[str, Any] = {
        "name": "a",
        "model": {"kind": "mlp"},
        "dataset": {"kind": "digits"},
        "optimizer": {
            "kind": "adam",
            "dialect": "paddle",
            "lr": 0.1,
            "groups": [{"match": "*.bias", "weight_decay": 0.1, "schedule": {"kind": "linear"}}],
        },
        "schedule": {"kind": "cosine", "warmup": {"length": 3, "after": "delay"}},
        "training": {"steps": 100, "checkpoint_every": None, "evaluate_every": {"epochs": 2}},
    }
    spec = JobSpec.parse(posted)

    assert spec.model_dump(mode="json", exclude_unset=True) == posted
    assert JobSpec.parse(spec.model_dump(mode="json", exclude_unset=True)).sha256() == spec.sha256()
