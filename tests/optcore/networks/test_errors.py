"""What the errors about layers say: field or path, rule, value, and what would fit."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec.errors import SpecError
from optcore.spec.layers.base import IMAGE, SEQUENCE, SIGNAL, TOKENS, VECTOR, ShapeError, TensorSpec
from optcore.spec.models.sequential import Sequential
from tests.support.optcore.layers.networks import network_of

Json = dict[str, Any]
CONV: Json = {"kind": "conv2d", "out_channels": 2, "kernel_size": 3}
UP: Json = {"kind": "conv_transpose2d", "out_channels": 2, "kernel_size": 3}
RELU: Json = {"kind": "relu"}
PER_AXIS = "must be a whole number, or a list of one per axis, got"

FIELDS: list[tuple[Json, str, str]] = [
    *(
        ({**CONV, "kernel_size": value}, "kernel_size", f"kernel_size {PER_AXIS} {shown}")
        for value, shown in (
            (True, "true"),
            (1.5, "1.5"),
            ("3", "'3'"),
            ([], "[]"),
            (None, "null"),
            ([3, "3"], "[3, '3']"),
            ({"a": 1}, "{'a': 1}"),
        )
    ),
    ({**CONV, "kernel_size": 0}, "kernel_size", "kernel_size must be at least 1, got 0"),
    ({**CONV, "kernel_size": [3, 0]}, "kernel_size", "kernel_size must be at least 1, got 0"),
    ({**CONV, "kernel_size": 65}, "kernel_size", "kernel_size must be at most 64, got 65"),
    (
        {**CONV, "kernel_size": [1, 2, 3]},
        "kernel_size",
        "kernel_size must be a whole number, or a list of length 2 for conv2d, got [1, 2, 3]",
    ),
    (
        {**CONV, "padding": "same"},
        "padding",
        f"padding {PER_AXIS} 'same'; kernel_size // 2 keeps the size, with stride 1 and an odd "
        "kernel_size",
    ),
    ({**CONV, "padding": "valid"}, "padding", f"padding {PER_AXIS} 'valid'; 0 adds no pixels"),
    ({**CONV, "padding": -1}, "padding", "padding must be at least 0, got -1"),
    ({**CONV, "groups": 3}, "groups", "groups must divide out_channels, 2, got 3"),
    (
        {**UP, "padding_mode": "reflect"},
        "padding_mode",
        "padding_mode must be zeros, got 'reflect'",
    ),
    (
        {"kind": "max_pool2d", "kernel_size": 2, "padding": 2},
        "padding",
        "padding must be at most half of kernel_size, 1, got 2",
    ),
    (
        {"kind": "avg_pool1d", "kernel_size": 2, "stride": [1, 1]},
        "stride",
        "stride must be a whole number, or a list of length 1 for avg_pool1d, got [1, 1]",
    ),
    (
        {"kind": "adaptive_avg_pool2d", "output_size": [1, 1, 1]},
        "output_size",
        "output_size must be a whole number, or a list of length 2 for adaptive_avg_pool2d, got "
        "[1, 1, 1]",
    ),
    (
        {"kind": "upsample", "align_corners": True},
        "align_corners",
        "align_corners must be false for mode nearest, which computes no new values, got true",
    ),
    (
        {"kind": "reshape", "shape": [3, -1, -1]},
        "shape",
        "shape must have sizes of at least 1, and at most one -1, got [3, -1, -1]",
    ),
    (
        {"kind": "reshape", "shape": [8, 8], "axes": "image"},
        "axes",
        "axes image needs a shape of 3 sizes, got [8, 8]",
    ),
    (
        {"kind": "squeeze_excite", "squeeze_channels": 2, "slope": 0.2},
        "slope",
        "slope must be left out for gate sigmoid, which has none, got 0.2",
    ),
    ({"kind": "repeat", "times": 0, "layers": [RELU]}, "times", "times must be at least 1, got 0"),
    (
        {"kind": "residual", "layers": []},
        "layers",
        "layers must have at least 1 entries, got 0",
    ),
    ({"kind": "residual"}, "layers", "layers is required"),
    (
        {"kind": "parallel", "branches": [[]]},
        "branches",
        "branches must have at least 2 entries, got 1",
    ),
    ({"kind": "dropout", "p": 1}, "p", "p must be below 1, got 1"),
    (
        {"kind": "relu", "name": "train"},
        "name",
        "name must not be an attribute of torch's modules, got 'train'",
    ),
    (
        {"kind": "batch_norm", "share": {"weight": 3}},
        "share.weight",
        "weight must be a string, got 3",
    ),
]


@pytest.mark.parametrize(("layer", "field", "message"), FIELDS, ids=lambda part: str(part)[:50])
def test_a_wrong_value_is_named_with_its_field_and_rule(
    layer: Json, field: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        Sequential.parse({"kind": "sequential", "layers": [layer]})

    assert [(each.param, each.message) for each in caught.value.problems] == [
        (f"layers[0].{field}", message)
    ]


PIXELS = TensorSpec((1, 8, 8), IMAGE)
FEATURES = TensorSpec((4,), VECTOR)
STEPS = TensorSpec((5, 4), SEQUENCE)
SAMPLES = TensorSpec((4, 5), SIGNAL)
WORDS = TensorSpec((5,), TOKENS, integers=True)
SHAPES: list[tuple[Json, TensorSpec, str]] = [
    (
        {"kind": "linear", "out_features": 3},
        PIXELS,
        "linear needs (features) or (length, features), got (channels 1, height 8, width 8); "
        "insert a flatten layer before it",
    ),
    (
        {"kind": "linear", "out_features": 3},
        WORDS,
        "linear needs real numbers, got tokens (length 5); begin with an embedding",
    ),
    (
        CONV,
        FEATURES,
        "conv2d needs (channels, height, width), got (features 4); insert a reshape "
        "layer before it",
    ),
    (
        {**CONV, "kind": "conv1d"},
        PIXELS,
        "conv1d needs (channels, length), got (channels 1, height 8, width 8); bring it to height "
        "1 and insert a permute layer with axes signal before it",
    ),
    (
        {**CONV, "kind": "conv1d"},
        STEPS,
        "conv1d needs (channels, length), got (length 5, features 4); insert a permute layer with "
        "axes signal before it",
    ),
    (
        {"kind": "batch_norm"},
        STEPS,
        "batch_norm needs (features) or (channels, length) or (channels, height, width), got "
        "(length 5, features 4); layer_norm takes sequences",
    ),
    (
        {**CONV, "kernel_size": 9},
        PIXELS,
        "kernel_size must be at most 8 for a side of 8 pixels with padding 0 at both ends, got 9",
    ),
    (
        {**CONV, "kernel_size": 5, "dilation": 2},
        PIXELS,
        "kernel_size must be at most 4 for a side of 8 pixels with padding 0 at both ends and "
        "dilation 2, got 5",
    ),
    (
        {**CONV, "padding": 8, "padding_mode": "reflect"},
        PIXELS,
        "padding must be below 8 to reflect a side of 8 pixels, got 8",
    ),
    (
        {**CONV, "padding": 9, "padding_mode": "circular"},
        PIXELS,
        "padding must be at most 8 to repeat a side of 8 pixels, got 9",
    ),
    (
        {**CONV, "groups": 2},
        PIXELS,
        "groups must divide the number of channels, 1, got 2",
    ),
    (
        {**UP, "output_padding": 1},
        PIXELS,
        "output_padding must be below the larger of stride and dilation, 1, got 1",
    ),
    (
        {**UP, "kernel_size": 1, "padding": 5},
        PIXELS,
        "padding must leave at least one pixel of a side of 8, got 5",
    ),
    (
        {"kind": "max_pool2d", "kernel_size": 9},
        PIXELS,
        "kernel_size must be at most 8 for 8x8 pixels, got 9",
    ),
    (
        {"kind": "max_pool2d", "kernel_size": 13, "padding": 2, "stride": 1, "ceil_mode": True},
        PIXELS,
        "kernel_size must be at most 12 for 8x8 pixels with padding 2 at both ends, got 13",
    ),
    (
        {"kind": "max_pool2d", "kernel_size": 4, "dilation": 3},
        PIXELS,
        "kernel_size must be at most 3 for 8x8 pixels with dilation 3, got 4",
    ),
    (
        {"kind": "max_pool2d", "kernel_size": 2, "dilation": 9, "padding": 1},
        PIXELS,
        "dilation must be at most 8 for a side of 8 pixels with padding, got 9",
    ),
    (
        {"kind": "prelu", "num_parameters": 3},
        FEATURES,
        "num_parameters must be 1 or the number of features, 4, got 3",
    ),
    (
        {"kind": "prelu", "num_parameters": 4},
        STEPS,
        "prelu needs (features) or (channels, length) or (channels, height, width), got "
        "(length 5, features 4); num_parameters 1 takes anything",
    ),
    (
        {"kind": "global_pool"},
        FEATURES,
        "global_pool needs (channels, height, width) or (channels, length) or (length, features), "
        "got (features 4); insert a reshape layer before it",
    ),
    (
        {"kind": "group_norm", "num_groups": 2},
        PIXELS,
        "num_groups must divide the number of channels, 1, got 2",
    ),
    (
        {"kind": "group_norm", "num_groups": 4},
        FEATURES,
        "group_norm needs more than one value per group, got (features 4) in 4 groups",
    ),
    (
        {"kind": "instance_norm"},
        TensorSpec((3, 1, 1), IMAGE),
        "instance_norm needs more than one pixel per channel, got (channels 3, height 1, width 1)",
    ),
    (
        {"kind": "reshape", "shape": [7, -1]},
        PIXELS,
        "shape must hold the 64 values of (channels 1, height 8, width 8), got [7, -1]",
    ),
    (
        {"kind": "reshape", "shape": [8, 9]},
        PIXELS,
        "shape must hold the 64 values of (channels 1, height 8, width 8), got [8, 9], whose "
        "product is 72",
    ),
    (
        {"kind": "permute", "axes": "sequence"},
        PIXELS,
        "permute needs an image of height 1, got (channels 1, height 8, width 8); reduce the "
        "height by pools or strides, or join height and channels by reshape",
    ),
    (
        {"kind": "upsample", "mode": "linear"},
        PIXELS,
        "mode linear needs a signal, got (channels 1, height 8, width 8); use bilinear",
    ),
    (
        {"kind": "upsample", "scale_factor": [2, 2]},
        SAMPLES,
        "scale_factor must be a whole number, or a list of length 1 for (channels 4, length 5), "
        "got [2, 2]",
    ),
    (
        {"kind": "repeat", "times": 2, "layers": [CONV]},
        PIXELS,
        "repeat needs layers whose output has the shape of their input, (channels 1, height 8, "
        "width 8), got (channels 2, height 6, width 6)",
    ),
    (
        {"kind": "residual", "layers": [CONV]},
        PIXELS,
        "residual needs layers and shortcut that return equal shapes, got (channels 2, height 6, "
        "width 6) from layers and (channels 1, height 8, width 8) from shortcut; let shortcut "
        "return (channels 2, height 6, width 6) too",
    ),
    (
        {"kind": "parallel", "branches": [[], [CONV]]},
        PIXELS,
        "parallel with join add needs branches that return equal shapes, got (channels 1, height "
        "8, width 8) from branch 0 and (channels 2, height 6, width 6) from branch 1",
    ),
    (
        {"kind": "parallel", "branches": [[], [CONV]], "join": "concat"},
        PIXELS,
        "parallel with join concat needs branches that return equal shapes, except for channels, "
        "got (channels 1, height 8, width 8) from branch 0 and (channels 2, height 6, width 6) "
        "from branch 1",
    ),
    (
        {"kind": "parallel", "branches": [[], []], "join": "concat"},
        WORDS,
        "parallel needs real numbers, got tokens (length 5) from branch 0; begin with an embedding",
    ),
]


@pytest.mark.parametrize(("layer", "given", "message"), SHAPES, ids=lambda part: str(part)[:50])
def test_a_shape_that_does_not_fit_names_the_layer_both_shapes_and_what_would_fit(
    layer: Json, given: TensorSpec, message: str
) -> None:
    places: list[tuple[list[Json], str]] = [
        ([{**layer, "name": "it"}], "it"),
        ([{"kind": "sequential", "name": "block", "layers": [layer]}], "block.0"),
        ([{"kind": "parallel", "branches": [[], [layer]]}], "0.1.0"),
    ]
    if not given.integers:
        places += [
            ([{"kind": "repeat", "name": "r", "times": 1, "layers": [RELU, layer]}], "r.0.1"),
            ([{"kind": "residual", "layers": [RELU], "shortcut": [layer]}], "0.shortcut.0"),
        ]
    for layers, path in places:
        with pytest.raises(ShapeError) as caught:
            _ = network_of(layers, given).output

        assert str(caught.value) == f"layer {path}: {message}"
