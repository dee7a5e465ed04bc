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
        ({"source": 1}, r"unknown field 'source' \(known: from, keep, changes, prefixes, "),
        ({"keep": "all"}, "keep must be one of weights, optimizer, got 'all'"),
        ({"changes": []}, r"changes must be an object, got \[\]"),
        ({"fresh": "head.*"}, r"fresh must be a list, got 'head\.\*'"),
        ({"omit": ["*"] * 101}, "omit must have at most 100 entries, got 101"),
        ({"prefixes": {"": "a"}}, "prefixes must be a list, got {'': 'a'}"),
        ({"prefixes": [{"from": "a"}]}, r"prefixes\[0\].to: to is required"),
        (
            {"prefixes": [{"from": "a", "to": "b"}, {"from": "c", "to": "b."}]},
            r"prefixes\[1\].to: to must differ from that of the other prefixes, got 'b.' twice",
        ),
        (
            {"keep": "optimizer", "fresh": ["head.*"]},
            "keep: keep must be weights with prefixes, fresh or omit, got optimizer",
        ),
    ],
)
def test_what_it_cannot_be_is_a_sentence(body: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        CloneSpec.parse(body)


def test_a_clone_without_a_map_has_the_request_hash_that_it_had_before() -> None:
    """So that an Idempotency-Key goes on over an upgrade."""
    body = {"from": "best", "keep": "weights", "changes": {}}
    mapped = {**body, "prefixes": [{"from": "", "to": "backbone"}]}

    assert CloneSpec.parse(body).model_dump(mode="json", by_alias=True) == body
    assert CloneSpec.parse(mapped).sha256("job_1") != CloneSpec.parse(body).sha256("job_1")


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
