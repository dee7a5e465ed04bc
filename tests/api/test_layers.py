"""The catalogue of layers, and the plan of a network that is made of them."""

from __future__ import annotations

import json

import httpx
import pytest

from optcore.spec.layers.catalogue import LAYERS

pytestmark = pytest.mark.anyio
FC = {"kind": "linear", "name": "fc", "out_features": 16}


async def test_every_layer_is_listed_with_its_fields_and_defaults(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/layers")

    page = answer.json()
    assert [entry["name"] for entry in page["data"]] == list(LAYERS)
    assert all(entry["object"] == "layer" and entry["summary"] for entry in page["data"])
    for entry in page["data"]:
        assert (await http.get(f"/v1/layers/{entry['name']}")).json() == entry
    fields = {
        field["name"]: field for field in page["data"][list(LAYERS).index("conv2d")]["fields"]
    }
    assert fields["kernel_size"]["default"] is None
    assert fields["kernel_size"]["description"] == "Size of the kernel, in pixels."
    assert fields["dilation"]["default"] == 1
    assert fields["share"]["default"] == {}


async def test_a_block_does_not_repeat_the_schemas_of_all_layers(http: httpx.AsyncClient) -> None:
    for path in ("/v1/layers/residual", "/v1/models/sequential"):
        schema = (await http.get(path)).json()["json_schema"]

        assert "/v1/layers/{kind}" in json.dumps(schema)
        assert "Conv2d" not in schema.get("$defs", {})
        assert len(json.dumps(schema)) < 9_000


async def test_a_layer_that_is_not_there_is_named_with_the_nearest(http: httpx.AsyncClient) -> None:
    problem = (await http.get("/v1/layers/conv2")).json()

    assert problem["code"] == "name_not_found"
    assert "conv2d" in problem["detail"]


async def test_validate_sums_up_a_repeated_layer_once_with_its_path(
    http: httpx.AsyncClient,
) -> None:
    repeat = {"kind": "repeat", "name": "deep", "times": 3, "layers": [FC, {"kind": "relu"}]}
    layers = [{"kind": "flatten"}, {**FC, "name": "first"}, repeat]
    body = {
        "model": {
            "kind": "sequential",
            "layers": [*layers, {"kind": "linear", "out_features": 10}],
        },
        "dataset": {"kind": "digits"},
        "optimizer": {"kind": "adam"},
        "training": {"steps": 5},
    }

    plan = (await http.post("/v1/jobs/validate", json=body)).json()

    assert [(row["name"], row["copies"]) for row in plan["layers"]] == [
        ("0", 1),
        ("first", 1),
        ("deep.0.fc", 3),
        ("deep.0.1", 3),
        ("3", 1),
    ]
    assert plan["num_parameters"] == sum(
        row["copies"] * row["num_parameters"] for row in plan["layers"]
    )
    assert plan["flops"] == sum(row["copies"] * row["flops"] for row in plan["layers"])
    assert "deep.2.fc.weight" in plan["groups"][0]["parameters"]
