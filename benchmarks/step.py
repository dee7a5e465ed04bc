"""
Measures one update against torch's own optimizers, each with the fastest of its engines.

On a small network, where calls cost more than arithmetic, ``step`` is measured alone; on a large
network, where memory access costs most, zero_grad, backward and step together. Dropout is measured
against torch's module, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import optcore
from benchmarks.harness import Comparison, compare, fastest, show, timed
from optcore.networks.build import build
from optcore.networks.draws import Draws
from optcore.networks.layers.dropout import Dropout
from optcore.networks.layout import memory_format
from optcore.spec.layers.base import TensorSpec
from optcore.spec.models.base import ModelSpec
from optcore.spec.models.mlp import Mlp
from optcore.spec.models.mnist_cnn import MnistCnn
from optcore.spec.networks.network import Network
from optcore.spec.tasks.tasks import Target

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KINDS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any], float | None]] = {
    "sgd": (torch.optim.SGD, {}, None),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}, 1.5),
    "adagrad": (torch.optim.Adagrad, {}, 2.0),
    "rmsprop": (torch.optim.RMSprop, {}, 3.0),
    "adam": (torch.optim.Adam, {}, 2.0),
}
"""Our kind -> torch's class, its arguments, and how many times as fast ours should be (or None)."""

ENGINES: dict[str, dict[str, bool]] = {
    "for-loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
NOT_SLOWER = 0.97
"""Wanted ratio if both call the same kernel on the same bytes: the true ratio is 1, and the lower
end of its confidence interval is a little below 1."""
LR = 1e-3
SHAPE = (1, 28, 28)
DROPPED = {
    "32x32": (32, 32),
    "100x128": (100, 128),
    "100x2048": (100, 2048),
    "images 100x20x14x14": (100, 20, 14, 14),
}
"""Inputs of a dropout, by name."""
STEPS = 200
"""Steps per measurement of the small network: they take a few ms, less than a time slice."""


def built(model: ModelSpec) -> nn.Module:
    """Return the network of *model* for ten classes."""
    return build(Network(tuple(model.network(Target("classification", 10))), TensorSpec.of(SHAPE)))


def mnist_cnn() -> nn.Module:
    """Return the small network, with 20,350 parameters in 6 tensors."""
    return built(MnistCnn(kind="mnist_cnn")).to(DEVICE)


def large_mlp() -> nn.Module:
    """Return the large network, with 11.0M parameters in 8 tensors."""
    return built(Mlp(kind="mlp", hidden=[2048, 2048, 2560])).to(DEVICE)


def batch(size: int) -> tuple[Tensor, Tensor]:
    """Return a batch of noise images, and labels for them."""
    return torch.rand(size, *SHAPE, device=DEVICE), torch.arange(size, device=DEVICE) % 10


def finished(work: Callable[[], object], *, repeats: int = 1) -> Callable[[], float]:
    """Return a function like that of `timed` that also waits until the GPU has done the work."""

    def all_of_it() -> None:
        for _ in range(repeats):
            work()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    measure = timed(all_of_it)

    def each() -> float:
        if DEVICE == "cuda":
            torch.cuda.synchronize()  # earlier work is not counted
        return measure() / repeats

    return each


def wanted(ratio: float | None) -> float | None:
    """Return *ratio* on a CPU, and None on a GPU, for which no ratio is claimed."""
    return ratio if DEVICE == "cpu" else None


def with_gradients(model: nn.Module) -> nn.Module:
    """Return *model* with a gradient for every parameter, as backward leaves them."""
    images, labels = batch(100)
    functional.cross_entropy(model(images), labels).backward()
    return model


def torchs(kind: str, make_model: Callable[[], nn.Module]) -> dict[str, torch.optim.Optimizer]:
    """Return torch's optimizers of *kind* by engine, each with a new model."""
    make, arguments, _ = KINDS[kind]
    found = {}
    for engine, chosen in ENGINES.items():
        try:
            found[engine] = make(make_model().parameters(), lr=LR, **arguments, **chosen)
        except (TypeError, RuntimeError):
            continue  # RMSprop has no fused kernel
    return found


def ours(kind: str, model: nn.Module) -> torch.optim.Optimizer:
    """Return optcore's optimizer of *kind* for *model*."""
    return optcore.make_optimizer(model.named_parameters(), {"kind": kind, "lr": LR})


def small_network(kind: str) -> Comparison:
    """Compare ``step`` of *kind* with torch's, on the small network."""
    candidates = {
        engine: finished(optimizer.step, repeats=STEPS)
        for engine, optimizer in torchs(kind, lambda: with_gradients(mnist_cnn())).items()
    }
    engine = fastest(candidates)
    return compare(
        f"step, 20k parameters, {kind}",
        finished(ours(kind, with_gradients(mnist_cnn())).step, repeats=STEPS),
        candidates[engine],
        pairs=41,
        wanted=wanted(KINDS[kind][2]),
        peer_name=engine,
    )


def large_network(kind: str) -> Comparison:
    """Compare zero_grad, backward and step of *kind* with torch's, on the large network."""
    images, labels = batch(32)

    def measure(optimizer: torch.optim.Optimizer, model: nn.Module) -> Callable[[], float]:
        def forward() -> Tensor:
            return functional.cross_entropy(model(images), labels)

        def once() -> float:
            loss = forward()  # not counted: the same in both

            def work() -> None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

            return finished(work)()

        return once

    models: dict[str, nn.Module] = {}
    candidates = {}
    for engine in torchs(kind, large_mlp):
        models[engine] = large_mlp()
        make, arguments, _ = KINDS[kind]
        optimizer = make(models[engine].parameters(), lr=LR, **arguments, **ENGINES[engine])
        candidates[engine] = measure(optimizer, models[engine])
    engine = fastest(candidates)
    model = large_mlp()
    return compare(
        f"zero_grad + backward + step, 11M parameters, {kind}",
        measure(ours(kind, model), model),
        candidates[engine],
        pairs=41,
        wanted=wanted(NOT_SLOWER),
        peer_name=engine,
    )


def dropout(name: str) -> Comparison:
    """Compare forward and backward of dropout with torch's, on inputs of `DROPPED`."""
    inputs = torch.rand(DROPPED[name], device=DEVICE)
    if inputs.dim() == len(SHAPE) + 1:
        inputs = inputs.contiguous(memory_format=memory_format(inputs.device, inputs.dtype))
    inputs.requires_grad_()
    gradient = torch.rand_like(inputs)

    def measure(layer: nn.Module) -> Callable[[], float]:
        def work() -> None:
            inputs.grad = None
            layer(inputs).backward(gradient)

        return finished(work, repeats=5)

    return compare(
        f"dropout, forward + backward, {name}",
        measure(Dropout(0.5, Draws(0), "dropout")),
        measure(nn.Dropout(0.5)),
        pairs=41,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    rows = [small_network(kind) for kind in KINDS]
    rows += [large_network(kind) for kind in KINDS]
    show("One update", rows)
    show("Dropout", [dropout(name) for name in DROPPED])
