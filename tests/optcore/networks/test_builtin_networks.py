"""What the built-in networks have in common: names, fields, errors, and runs that train them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from optcore.spec.errors import SpecError
from optcore.spec.former.runs import is_former
from optcore.spec.layers.base import Shape, ShapeError
from optcore.spec.models.catalogue import MODELS, AnyModel
from optcore.spec.models.mobilenet_v3 import divisible
from optcore.spec.networks.network import Network
from optcore.spec.run import RunSpec
from optcore.spec.tasks.tasks import Target
from tests.support.optcore.networks import network_of
from tests.support.optcore.runs.small import spec_of, start, steps

CLASSES, TEXT = Target("classification", 7), Target("sequence", 6, 5)
PHOTO: Shape = (3, 224, 224)
VIT = {"kind": "vit", "patch_size": 16, "layers": 2, "heads": 3, "hidden": 12}


def network(model: dict[str, Any], shape: Shape = PHOTO, target: Target = CLASSES) -> Network:
    return network_of(model, target, shape)


def names(model: dict[str, Any], shape: Shape = PHOTO, target: Target = CLASSES) -> list[str]:
    return [each.name for each in network(model, shape, target).parameters]


@pytest.mark.parametrize(
    ("model", "shape", "target", "some"),
    [
        (
            {"kind": "resnet"},
            PHOTO,
            CLASSES,
            {
                *("conv1.weight", "bn1.bias", "layer1.0.residual.layers.conv1.weight"),
                *("layer2.0.residual.shortcut.conv.weight", "layer4.1.residual.layers.bn2.bias"),
                "fc.weight",
            },
        ),
        (
            {"kind": "resnet", "dialect": "paddleocr"},
            PHOTO,
            CLASSES,
            {"conv1.conv.weight", "conv3.bn.weight", "layer1.0.residual.shortcut.bn.bias"},
        ),
        (
            {"kind": "mobilenet_v3"},
            PHOTO,
            CLASSES,
            {
                *("conv1.conv.weight", "blocks.0.layers.depthwise.conv.weight"),
                *("blocks.3.layers.expand.bn.weight", "blocks.3.layers.squeeze.fc1.weight"),
                *("blocks.10.layers.project.bn.bias", "conv2.bn.bias", "fc1.weight", "fc.bias"),
            },
        ),
        (
            {"kind": "crnn"},
            (1, 32, 100),
            TEXT,
            {
                *("backbone.conv1.conv.weight", "backbone.blocks.0.layers.expand.conv.weight"),
                *("lstm.weight_ih_l0", "lstm.bias_hh_l1_reverse", "fc.weight"),
            },
        ),
        (
            VIT,
            PHOTO,
            CLASSES,
            {
                *("conv_proj.weight", "class_token.weight", "positions.weight", "ln.bias"),
                *("encoder.0.attention.layers.ln_1.weight", "encoder.1.mlp.layers.fc2.bias"),
                *("encoder.1.attention.layers.self_attention.in_proj_weight", "fc.weight"),
            },
        ),
    ],
)
def test_parameters_have_names_that_globs_can_match(
    model: dict[str, Any], shape: Shape, target: Target, some: set[str]
) -> None:
    found = names(model, shape, target)

    assert some <= set(found)
    assert len(found) == len(set(found))
    assert found[-2:] == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(0.1, 8), (5.6, 8), (11.9, 16), (12, 16), (20, 24), (19, 24), (100.8, 104), (43.2, 40)],
)
def test_channels_are_multiples_of_8(value: float, wanted: int) -> None:
    assert divisible(value) == wanted


@pytest.mark.parametrize(
    ("size", "blocks", "strides"),
    [
        ("small", (0, 1, 3, 8), None),
        ("small", (0, 1, 3, 8), [1, 4, 2, 3]),
        ("large", (0, 1, 3, 12), None),
        ("large", (0, 1, 3, 12), [1, 4, 2, 3]),
    ],
)
def test_strides_are_along_the_height(
    size: str, blocks: tuple[int, ...], strides: list[int] | None
) -> None:
    model = {"kind": "mobilenet_v3", "size": size, "dialect": "paddleocr", "strides": strides}
    height = 150
    own = {"small": [2, 2, 2, 2], "large": [1, 2, 2, 2]}[size]

    shapes = {node.path: node.output.shape for node in network(model, (1, 300, 64)).nodes}

    for block, stride in zip(blocks, strides or own, strict=True):
        height = -(-height // stride)
        assert shapes[f"blocks.{block}"][1:] == (height, 32)
    assert shapes["conv2"][1:] == (height, 32)
    assert shapes["pool"][1:] == (height // 2, 16)


def test_the_first_stride_of_the_large_network_is_along_both_axes() -> None:
    """As in PaddleOCR, where it has no second number."""
    model = {"kind": "mobilenet_v3", "size": "large", "dialect": "paddleocr"}

    shapes = {
        node.path: node.output.shape
        for node in network(model | {"strides": [2, 2, 2, 2]}, (1, 96, 64)).nodes
    }

    assert shapes["blocks.0"][1:] == (24, 16)
    assert shapes["blocks.1"][1:] == (12, 16)


def test_a_block_of_a_given_stride_of_1_has_no_shortcut() -> None:
    """As in PaddleOCR, where (1, 1) is not 1; also where the channels stay the same."""
    model = {"kind": "mobilenet_v3", "scale": 0.5, "dialect": "paddleocr"}

    kinds = {
        node.path: node.layer.kind
        for node in network(model | {"strides": [1, 2, 2, 2]}, (3, 64, 64)).nodes
    }

    assert (kinds["blocks.0"], kinds["blocks.2"]) == ("sequential", "residual")


@pytest.mark.parametrize(
    ("backbone", "least", "most"),
    [
        ({"kind": "mobilenet_v3"}, 17, 48),
        ({"kind": "mobilenet_v3", "size": "large"}, 17, 48),
        ({"kind": "mobilenet_v3", "strides": [2, 2, 2, 2]}, 33, 96),
        ({"kind": "resnet_vd"}, 17, 48),
    ],
)
def test_the_heights_that_a_recognizer_takes(
    backbone: dict[str, Any], least: int, most: int
) -> None:
    model = {"kind": "crnn", "backbone": backbone}

    for height in (least, most):
        assert network(model, (1, height, 100), TEXT).output.shape == (25, 7)
    with pytest.raises(ShapeError, match="layer im2seq: permute needs an image of height 1, got"):
        _ = network(model, (1, most + 1, 100), TEXT).output
    with pytest.raises(ShapeError, match=r"layer backbone\.pool: kernel_size must be at most 1"):
        _ = network(model, (1, least - 1, 100), TEXT).output


def test_a_recognizer_without_an_lstm_is_the_rest_of_its_network() -> None:
    whole, rest = (
        network({"kind": "crnn", "layers": layers}, (3, 32, 100), TEXT) for layers in (2, 0)
    )

    left = {each.name: each.shape for each in rest.parameters}
    before = [each.name for each in whole.parameters if not each.name.startswith("lstm.")]
    assert list(left) == before
    assert rest.output == whole.output
    assert left["fc.weight"] == (7, 288)


def test_a_recognizer_takes_targets_that_its_steps_hold() -> None:
    fitting = RunSpec.parse(run_of({"kind": "crnn", "backbone": THIN}, "ctc", "digit_lines"))
    classifier = {"kind": "mobilenet_v3", "scale": 0.1}

    assert fitting.network.output.shape == (10, 11)
    with pytest.raises(SpecError, match=r"got an output \(features 10\); digit_lines has 10 "):
        RunSpec.parse(run_of(classifier, "ctc", "digit_lines"))


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ({"kind": "resnet", "depth": 20}, "depth must be one of 18, 34, 50, 101, 152, got 20"),
        ({"kind": "resnet", "dialect": "paddle"}, "dialect must be one of torch, paddleocr"),
        ({"kind": "mobilenet_v3", "scale": 0}, "scale must be positive, got 0"),
        ({"kind": "mobilenet_v3", "scale": 9}, "scale must be at most 8, got 9"),
        ({"kind": "mobilenet_v3", "size": "medium"}, "size must be one of small, large"),
        ({"kind": "mobilenet_v3", "width_mult": 0.5}, "unknown field 'width_mult'"),
        (
            {"kind": "mobilenet_v3", "strides": [1, 2, 2, 2]},
            r"strides must be null in dialect torch, since only dialect paddleocr has it, got \[1,",
        ),
        (
            {"kind": "mobilenet_v3", "dialect": "paddleocr", "strides": [1, 2]},
            "strides must have at least 4",
        ),
        (
            {"kind": "mobilenet_v3", "dialect": "paddleocr", "strides": [1, 2, 5, 1]},
            r"model\.strides\[2\]: .* must be at most 4, got 5",
        ),
        (
            {"kind": "mobilenet_v3", "dialect": "paddleocr", "dropout": 0.1},
            "dropout must be null in dialect paddleocr, since only dialect torch has it, got 0.1",
        ),
        ({"kind": "crnn", "hidden": 0}, "hidden must be at least 1, got 0"),
        (
            {"kind": "crnn", "layers": 0, "hidden": 96},
            "hidden must be left out if layers is 0, as there is no lstm, got 96",
        ),
        ({"kind": "crnn", "backbone": {"kind": "resnet"}}, "kind must be one of mobilenet_v3, "),
        ({"kind": "crnn", "backbone": {"kind": "resnet_vd", "depth": 1}}, "depth must be one of"),
        (VIT | {"heads": 5}, "heads must divide hidden, 12, got 5"),
        (VIT | {"patch_size": 0}, "patch_size must be at least 1, got 0"),
        (VIT | {"layers": 1001}, "layers must be at most 1000, got 1001"),
        ({"kind": "vit"}, "patch_size"),
        (
            VIT | {"patch_size": 3},
            r"model must accept examples of digits, .*: layer conv_proj: patch_size must divide "
            r"height and width of \(channels 1, height 8, width 8\), got 3",
        ),
        (
            {"kind": "crnn"},
            "model must accept examples of digits, .*: layer backbone.pool: kernel_size must be "
            "at most 1",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_refused(model: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        spec_of(model=model)


THIN: dict[str, Any] = {"kind": "mobilenet_v3", "scale": 0.1, "strides": [1, 1, 1, 2]}
"""A backbone for images of 8 rows."""


def run_of(model: dict[str, Any], loss: str, dataset: str) -> dict[str, Any]:
    """Return a run that trains *model*."""
    return {
        "model": model,
        "dataset": {"kind": dataset, "batch_size": 100},
        "optimizer": {"kind": "adam", "lr": 0.003},
        "schedule": {"kind": "constant"},
        "training": {"steps": 30, "seed": 3, "loss": {"kind": loss}},
    }


SMALL: dict[str, dict[str, Any]] = {
    "mobilenet_v3": run_of({"kind": "mobilenet_v3", "scale": 0.1}, "cross_entropy", "digits"),
    "crnn": run_of({"kind": "crnn", "backbone": THIN}, "ctc", "digit_lines"),
    "vit": run_of(VIT | {"patch_size": 2, "dropout": 0.1}, "cross_entropy", "digits"),
}
"""Runs of seconds; a resnet is too large for one."""


@pytest.mark.parametrize("kind", SMALL)
def test_a_network_learns(kind: str) -> None:
    losses = [step.loss for step in steps(start(**SMALL[kind]["training"], **parts(kind)))]

    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def parts(kind: str) -> dict[str, Any]:
    return {name: each for name, each in SMALL[kind].items() if name != "training"}


@pytest.mark.parametrize("kind", SMALL)
def test_0_2_0_has_no_such_network(kind: str) -> None:
    assert not is_former(RunSpec.parse(SMALL[kind]))


@pytest.mark.parametrize("kind", ["resnet", "mobilenet_v3", "crnn"])
def test_a_model_is_the_same_after_a_round_trip_through_json(kind: str) -> None:
    parser: TypeAdapter[AnyModel] = TypeAdapter(AnyModel)
    model = MODELS[kind].parse({"kind": kind})

    assert parser.validate_json(model.model_dump_json()) == model
