"""The memory of a run, estimated without torch, beside what torch allocates."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from optcore.optimizers.make import parse
from optcore.plan.memory.memory import Memory, evaluated
from optcore.spec.groups.matching import Parameter
from optcore.spec.groups.resolve import resolve_groups
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import run
from tests.support.optcore.updates.optimizer_specs import LBFGS, made, variants

WITHIN = 0.2
SHAPES = ([(64, 48), (96,)], [(200, 150), (8, 3, 5, 5), (7,)])


def mnist(model: dict[str, Any], *, batch_size: int = 100, kind: str = "adam") -> dict[str, Any]:
    dataset = {"kind": "mnist", "batch_size": batch_size}
    return run(model=model, dataset=dataset, optimizer={"kind": kind}, training={"steps": 4})


def mlp(*hidden: int, **options: Any) -> dict[str, Any]:
    return mnist({"kind": "mlp", "hidden": list(hidden)}, **options)


def text(model: dict[str, Any]) -> dict[str, Any]:
    dataset = {"kind": "text", "file": "a.txt", "length": 64, "batch_size": 16}
    windows = {"train_windows": 64, "validation_windows": 0, "validation_share": 0}
    return run(model=model, dataset={**dataset, **windows}, training={"steps": 4})


def of_tokens(*layers: dict[str, Any]) -> dict[str, Any]:
    embedding = {"kind": "embedding", "num_embeddings": 256, "embedding_dim": 64}
    last = {"kind": "linear", "out_features": 256}
    return text({"kind": "sequential", "layers": [embedding, *layers, last]})


def function(kind: str) -> dict[str, Any]:
    dataset = {"kind": kind, "dimensions": 5000, "batch_size": 100, "noise": 1.0}
    loss = {"kind": "objective"}
    return run(model={"kind": "point"}, dataset=dataset, training={"steps": 4, "loss": loss})


NORM: dict[str, Any] = {"kind": "batch_norm"}
RELU: dict[str, Any] = {"kind": "relu"}
END: list[dict[str, Any]] = [{"kind": "global_pool"}, {"kind": "linear", "out_features": 10}]


def conv(channels: int, side: int = 3, stride: int = 1) -> dict[str, Any]:
    sizes = {"kernel_size": side, "padding": side // 2, "stride": stride}
    return {"kind": "conv2d", "out_channels": channels, "bias": False, **sizes}


def basic(channels: int, stride: int = 1) -> dict[str, Any]:
    """Return a block of a ResNet."""
    layers = [conv(channels, 3, stride), NORM, RELU, conv(channels), NORM]
    shortcut = [conv(channels, 1, stride), NORM] if stride > 1 else []
    return {"kind": "residual", "layers": layers, "shortcut": shortcut}


DEEP = {"kind": "repeat", "times": 2, "layers": [basic(32), RELU]}
RESIDUAL = [conv(16), NORM, RELU, basic(16), RELU, basic(32, 2), RELU, DEEP, *END]
BRANCHES = [
    [conv(8), RELU],
    [{"kind": "max_pool2d", "kernel_size": 3, "stride": 1, "padding": 1}],
    [],
]
JOINED = [conv(8), RELU, {"kind": "parallel", "join": "concat", "branches": BRANCHES}, *END]


def network(layers: list[dict[str, Any]], batch_size: int) -> dict[str, Any]:
    return mnist({"kind": "sequential", "layers": layers}, batch_size=batch_size)


def validated(spec: dict[str, Any]) -> dict[str, Any]:
    """Return *spec* with a tenth of the training examples held out."""
    return {**spec, "dataset": {**spec["dataset"], "validation": 0.1}}


def partly_frozen(
    spec: dict[str, Any], *globs: str, optimizer: str = "adam", **training: Any
) -> dict[str, Any]:
    """Return *spec* with the parameters that *globs* match frozen."""
    fields = {**spec["training"], "frozen": list(globs), **training}
    return {**spec, "optimizer": {"kind": optimizer}, "training": fields}


FEW = {
    "a frozen backbone": partly_frozen(network(RESIDUAL, 20), "[0-7].*"),
    "frozen first layers": partly_frozen(mlp(2048, 2048), "fc1.*", "fc2.*", ema={"decay": 0.5}),
    "a residual network": network(RESIDUAL, 20),
    "mnist_cnn": mnist({"kind": "mnist_cnn"}),
    "12,730 parameters": mlp(16),
    "1,088,310 parameters": mlp(1000, 300),
    "gpt": text({"kind": "gpt", "width": 64}),
    "mobilenet_v3": mnist({"kind": "mobilenet_v3"}, batch_size=32),
    "vit": mnist({"kind": "vit", "patch_size": 7, "layers": 4, "heads": 4, "hidden": 128}),
}
ENCODED: list[dict[str, Any]] = [
    {"kind": "reshape", "shape": [28, 28]},
    {"kind": "linear", "out_features": 64},
    {"kind": "identity", "name": "rows"},
]
DECODER = {"kind": "transformer_decoder_layer", "nhead": 4, "memory": "rows"}
DECODED: list[dict[str, Any]] = [
    {"kind": "flatten"},
    {"kind": "linear", "out_features": 10},
]
GRU: dict[str, Any] = {"kind": "gru", "hidden_size": 64, "num_layers": 2}
ENCODER = {"kind": "transformer_encoder_layer", "nhead": 4, "dropout": 0.0}
ALL = {
    "a frozen copy": partly_frozen(network(RESIDUAL, 200), "[0-6].*", "7.0.*"),
    "a frozen end": partly_frozen(mnist({"kind": "mnist_cnn"}, batch_size=200), "fc*"),
    "frozen tokens": partly_frozen(text({"kind": "gpt", "width": 64}), "tokens.*", "blocks.0.*"),
    "gru": of_tokens(GRU),
    **{
        f"{kind}, {directions} directions": network(
            [
                {"kind": "reshape", "shape": [28, 28]},
                {**GRU, "kind": kind, "bidirectional": directions == 2},
                {"kind": "flatten"},
                {"kind": "linear", "out_features": 10},
            ],
            20,
        )
        for kind in ("gru", "lstm")
        for directions in (1, 2)
    },
    "encoder": of_tokens({**ENCODER, "dim_feedforward": 256, "causal": True}),
    "encoder, gelu": of_tokens(
        {**ENCODER, "dim_feedforward": 256, "activation": "gelu", "causal": True}
    ),
    "an encoder of images": network([*ENCODED, {**ENCODER, "dim_feedforward": 256}, *DECODED], 50),
    "a decoder of the sequence": network(
        [*ENCODED, {**DECODER, "dim_feedforward": 256, "dropout": 0.0}, *DECODED], 100
    ),
    "a decoder of queries": network(
        [
            *ENCODED,
            {"kind": "queries", "num_queries": 8, "features": 64},
            {
                "kind": "repeat",
                "times": 3,
                "layers": [{**DECODER, "dim_feedforward": 128, "dropout": 0.0}],
            },
            *DECODED,
        ],
        100,
    ),
    **{kind: function(kind) for kind in ("quadratic", "rosenbrock", "valley")},
    **{
        f"{name}, batch {size}": network(layers, size)
        for name, layers in (("residual", RESIDUAL), ("branches", JOINED))
        for size in (20, 200)
    },
    **{f"mnist_cnn, batch {b}": mnist({"kind": "mnist_cnn"}, batch_size=b) for b in (20, 500)},
    **{
        f"mlp {hidden}, batch {b}, {kind}": mlp(*hidden, batch_size=b, kind=kind)
        for hidden in ((13,), (128,), (300, 100), (2048, 2048), (2048, 2048, 2048))
        for b in (20, 100, 1000)
        for kind in ("sgd", "adam")
    },
}


def measured(spec: dict[str, Any], what: str) -> int:
    """Return the bytes that a process of its own allocates for a ``step`` or a whole ``run``."""
    # A process for each: the counter of torch goes on from one profile to the next.
    module = "tests.support.optcore.runs.allocated"
    command = [sys.executable, "-m", module, json.dumps(spec), what]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def check(spec: dict[str, Any]) -> None:
    memory = Memory.of(RunSpec.parse(spec))
    step = memory.parameters + memory.state + memory.step

    assert step == pytest.approx(measured(spec, "step"), rel=WITHIN)
    assert memory.peak == pytest.approx(measured(spec, "run"), rel=WITHIN)


@pytest.mark.parametrize("spec", FEW.values(), ids=FEW)
def test_the_estimate_is_within_a_fifth_of_what_is_allocated(spec: dict[str, Any]) -> None:
    check(spec)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ALL.values(), ids=ALL)
def test_the_estimate_is_within_a_fifth_for_every_size(spec: dict[str, Any]) -> None:
    check(spec)


@pytest.mark.parametrize(
    ("spec", "on_cpu", "on_gpu"),
    [
        (network(RESIDUAL, 20), 109, 1000),
        (network(RESIDUAL, 200), 200, 1000),
        (validated(mnist({"kind": "mnist_cnn"})), 148, 1000),
        (mnist({"kind": "mnist_cnn"}), 1000, 1000),  # as in 0.2.0, which trains it too
        (mlp(16), 1000, 1000),
    ],
)
def test_a_batch_of_an_evaluation_is_as_large_as_its_memory_allows(
    spec: dict[str, Any], on_cpu: int, on_gpu: int
) -> None:
    parsed = RunSpec.parse(spec)

    assert (evaluated(parsed, "cpu"), evaluated(parsed, "cuda")) == (on_cpu, on_gpu)


def test_the_state_of_every_optimizer_has_the_planned_size() -> None:
    for spec in variants():
        alone = {name: value for name, value in spec.items() if name != "ema"}
        if spec == LBFGS:  # its state grows until the history is full
            continue
        for shapes in SHAPES:
            named = [(str(i), torch.nn.Parameter(torch.ones(*s))) for i, s in enumerate(shapes)]
            parameters = [Parameter(name, tuple(tensor.shape)) for name, tensor in named]
            sizes = {parameter.name: parameter.shape for parameter in parameters}
            groups = resolve_groups(parse(alone), parameters)
            slots = made(named, alone).named_slots().values()
            allocated = sum(slot.nbytes for by_name in slots for slot in by_name.values())

            planned = sum(g.spec.state_bytes(sizes[name]) for g in groups for name in g.names)

            assert planned == pytest.approx(allocated, rel=0.02, abs=8), (spec, shapes)
