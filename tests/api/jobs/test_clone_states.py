"""Clones that keep the optimizer's state: it must be the state that their optimizer needs."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.support.store.parents import Parent

pytestmark = pytest.mark.anyio


@pytest.fixture
def parent(client: redis.Redis, tmp_path: Path) -> Parent:
    made = Parent(client, tmp_path / "storage")
    made.checkpointed(3, 6)
    return made


async def cloned(http: httpx.AsyncClient, parent: Parent, **body: Any) -> None:
    response = await http.post(parent.path, json=body)
    assert response.status_code == 201, response.text


async def refused(http: httpx.AsyncClient, parent: Parent, **body: Any) -> dict[str, Any]:
    response = await http.post(parent.path, json=body)
    assert response.status_code == 422, response.text
    problem: dict[str, Any] = response.json()
    return problem


async def test_the_optimizer_state_cannot_be_cloned_into_another_kind(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    changes = {"optimizer": {"kind": "lion", "lr": 0.1}}

    problem = await refused(http, parent, keep="optimizer", changes=changes)

    assert problem["errors"] == [
        {
            "param": "keep",
            "message": "keep must be weights if optimizer.kind changes from adam to lion, "
            "got optimizer",
        }
    ]


async def test_the_optimizer_state_cannot_be_cloned_into_another_dialect(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    """A slot has another meaning there: momentum has lr in its buffer in keras, not in torch."""
    changes = {"optimizer": {"dialect": "keras"}}

    problem = await refused(http, parent, keep="optimizer", changes=changes)

    assert problem["errors"] == [
        {
            "param": "keep",
            "message": "keep must be weights if optimizer.dialect changes from torch to keras, "
            "got optimizer",
        }
    ]
    await cloned(http, parent, changes=changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"optimizer": {"groups": [{"match": "*.bias", "amsgrad": True}]}},
            "fc1.bias: that of job PARENT is adam (1024 bytes) in the group 'all', and that of the "
            "clone is adam with amsgrad (1536 bytes) in the group '*.bias'",
        ),
        (
            {"optimizer": {"multi_precision": True}, "training": {"precision": "bf16_true"}},
            "fc1.weight: that of job PARENT is adam (65536 bytes) in the group 'all', and that of "
            "the clone is adam with float32 copies (65536 bytes) in the group 'all'",
        ),
        (
            {"training": {"ema": {"kind": "keras", "decay": 0.9}}},
            "fc1.weight: that of job PARENT is adam (65536 bytes) in the group 'all', and that of "
            "the clone is adam with an average (65536 bytes) in the group 'all'",
        ),
    ],
    ids=["groups", "copies", "average"],
)
async def test_an_optimizer_state_that_does_not_fit_is_refused_with_both_named(
    http: httpx.AsyncClient, parent: Parent, changes: Any, text: str
) -> None:
    problem = await refused(http, parent, keep="optimizer", changes=changes)

    assert problem["errors"] == [
        {
            "param": "keep",
            "message": "keep must be weights if the optimizer keeps another state for "
            f"{text.replace('PARENT', parent.id)}; got optimizer",
        }
    ]
    await cloned(http, parent, changes=changes)


@pytest.mark.parametrize(
    ("optimizers", "texts"),
    [
        (
            ({"kind": "rmsprop", "momentum": 0.9}, {"momentum": 0.0, "centered": True}),
            ("rmsprop with velocity (65536 bytes)", "rmsprop with centered (65536 bytes)"),
        ),
        (
            ({"kind": "novograd", "dialect": "timm"}, {"amsgrad": True}),
            ("novograd (32768 bytes)", "novograd with amsgrad (32768 bytes)"),
        ),
    ],
    ids=["rmsprop", "novograd"],
)
async def test_other_slots_of_the_same_size_are_refused(
    http: httpx.AsyncClient,
    client: redis.Redis,
    tmp_path: Path,
    optimizers: tuple[Any, Any],
    texts: tuple[str, str],
) -> None:
    parent = Parent(client, tmp_path / "storage", optimizer=optimizers[0])
    parent.checkpointed(3)

    problem = await refused(http, parent, keep="optimizer", changes={"optimizer": optimizers[1]})

    assert problem["errors"][0]["message"] == (
        f"keep must be weights if the optimizer keeps another state for fc1.weight: that of job "
        f"{parent.id} is {texts[0]} in the group 'all', and that of the clone is {texts[1]} in the "
        "group 'all'; got optimizer"
    )
    await cloned(http, parent, changes={"optimizer": optimizers[1]})


async def test_groups_with_the_same_state_may_change(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    groups = [{"match": "*.bias", "weight_decay": 0.0, "lr_scale": 0.1}]

    await cloned(http, parent, keep="optimizer", changes={"optimizer": {"groups": groups}})
