"""
Measures the steps of built-in networks, and of lists of 50 and 200 layers, in CPU time.

Beside the loop as jobs run it, with torch's deterministic algorithms, stands a plain script: the
same network as plain torch modules, as they come, `torch.optim.AdamW` with ``fused=True``, and one
batch, which is loaded once. Both read the loss of every step. Data are noise. One thread computes.

Then it prints how much of the loop's CPU time is spent on loading batches, and how much on anything
else but forward, backward and update.

``python -m benchmarks.network_steps [NAME ...]`` measures all networks, or those named.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import islice
from statistics import median
from typing import Any, NamedTuple

import pytest
import torch

from benchmarks.harness import Comparison, compare, median_interval, show
from benchmarks.networks import job
from optcore.data.examples import Dataset, Examples
from optcore.data.windows import Windows
from optcore.networks.build import build
from optcore.spec.run import RunSpec
from optcore.training import loop
from optcore.training.losses import loss_of
from optcore.training.run import Run
from optcore.training.steps import step

Json = dict[str, Any]
PAIRS = 21
SECONDS = 0.3
"""CPU time of a measurement, about: both sides of a pair see the machine in the same state."""
COUNTED, WARM_UP = 60, 5
"""Steps whose parts are measured, after some that are not counted."""
NOT_SLOWER, CONVOLUTIONAL = 0.97, 1.2
"""How many times as fast a step should be, without and with convolutions."""
MAX_LOOP, MAX_LOADING = 0.03, 0.1
"""Largest wanted shares of a step."""


class Case(NamedTuple):
    """A network to measure: its model and dataset, and how many times as fast it should be."""

    model: Json
    dataset: Json
    wanted: float
    loss: str = "cross_entropy"


def images(size: int) -> Json:
    """Return a dataset of images of 28 x 28, in batches of *size*."""
    return {"kind": "mnist", "batch_size": size}


def layers(number: int) -> Json:
    """Return about *number* layers in residual blocks."""
    every = job(0)["model"]["layers"]
    return {
        "kind": "sequential",
        "layers": [*every[:3], *every[3 : 3 + 2 * (number // 6)], *every[-2:]],
    }


TEXT = {"kind": "text", "file": "a.txt", "length": 128, "batch_size": 16}
CASES = {
    "resnet18": Case({"kind": "resnet"}, images(32), CONVOLUTIONAL),
    "mobilenet_v3": Case({"kind": "mobilenet_v3"}, images(32), CONVOLUTIONAL),
    "mobilenet_v3 paddleocr": Case(
        {"kind": "mobilenet_v3", "scale": 0.35, "dialect": "paddleocr", "strides": [1, 2, 2, 2]},
        images(32),
        CONVOLUTIONAL,
    ),
    "crnn": Case({"kind": "crnn"}, images(32), CONVOLUTIONAL, "ctc"),
    "vit": Case(
        {"kind": "vit", "patch_size": 7, "layers": 4, "heads": 4, "hidden": 128},
        images(32),
        NOT_SLOWER,
    ),
    "gpt": Case({"kind": "gpt", "width": 128, "depth": 5, "heads": 4}, TEXT, NOT_SLOWER),
    "50 layers": Case(layers(50), {"kind": "digits", "batch_size": 50}, CONVOLUTIONAL),
    "200 layers": Case(layers(200), {"kind": "digits", "batch_size": 50}, CONVOLUTIONAL),
}


def spec_of(case: Case) -> RunSpec:
    """Return a run that is longer than what is measured."""
    return RunSpec.parse(
        {
            "model": case.model,
            "dataset": case.dataset,
            "optimizer": {"kind": "adamw", "lr": 1e-5},
            "training": {"epochs": 10_000, "evaluate_every": None, "loss": {"kind": case.loss}},
        }
    )


def noise(spec: RunSpec) -> Dataset:
    """Return random examples like those of the dataset of *spec*."""
    torch.manual_seed(0)
    target = spec.dataset.target
    if target.task == "language_model":
        tokens = torch.randint(0, target.size, (1_000_000,), dtype=torch.uint8)
        text = Windows(tokens, target.longest, spec.dataset.train_examples)
        return Dataset(text, text.at(torch.zeros(1, dtype=torch.int64)))
    n = spec.dataset.train_examples
    values = torch.randint(0, 256, (n, *spec.dataset.shape), dtype=torch.uint8)
    examples = Examples(values, torch.arange(n) % target.size)
    return Dataset(examples, examples)


def our_loop(spec: RunSpec, steps: int) -> Callable[[], float]:
    """Return a function that makes *steps* more updates and returns the seconds per update."""
    reports = loop.train(Run.of(spec, noise(spec)))

    def measure() -> float:
        deterministic(True)
        begin = time.process_time()
        losses = list(islice(reports, steps))
        return (time.process_time() - begin) / len(losses)

    return measure


def plain_script(spec: RunSpec, steps: int) -> Callable[[], float]:
    """Return a function like that of `our_loop`, for a plain script."""
    torch.manual_seed(0)
    model = build(spec.network).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    run = Run.of(spec, noise(spec))
    inputs, targets = run.batches.next()
    loss_function = loss_of(spec.training.loss, spec.dataset.target)

    def measure() -> float:
        deterministic(False)
        begin = time.process_time()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()
            loss.item()
        return (time.process_time() - begin) / steps

    return measure


def deterministic(on: bool) -> None:
    """Choose whether torch's algorithms are deterministic, as in trainers."""
    torch.use_deterministic_algorithms(on)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def against_plain(name: str, case: Case) -> Comparison:
    """Compare the loop with the plain script."""
    spec = spec_of(case)
    one = our_loop(spec, 3)
    one()
    steps = max(1, round(SECONDS / one()))
    return compare(
        f"step, {name}, {len(spec.network.nodes)} nodes, {spec.num_parameters} parameters",
        our_loop(spec, steps),
        plain_script(spec, steps),
        pairs=PAIRS,
        wanted=case.wanted,
        peer_name="plain modules",
    )


def shares(case: Case) -> tuple[list[float], list[float]]:
    """Return for each step: the share of the loop itself, and that of loading the batch."""
    spec = spec_of(case)
    deterministic(True)
    run = Run.of(spec, noise(spec))
    spent = {"inside": 0.0, "loading": 0.0}

    def counted(work: Callable[..., Any], what: str) -> Callable[..., Any]:
        def count(*args: Any, **named: Any) -> Any:  # noqa: ANN401  whatever it takes and returns
            begin = time.process_time()
            try:
                return work(*args, **named)
            finally:
                spent[what] += time.process_time() - begin

        return count

    outside, loading = [], []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("loss_of", "backward"):
            patch.setattr(step, name, counted(getattr(step, name), "inside"))
        patch.setattr(run.optimizer, "step", counted(run.optimizer.step, "inside"))
        patch.setattr(run.batches, "next", counted(run.batches.next, "loading"))
        reports = loop.train(run)
        for i in range(COUNTED + WARM_UP):
            spent.update(inside=0.0, loading=0.0)
            begin = time.process_time()
            next(reports)
            took = time.process_time() - begin
            if i >= WARM_UP:
                outside.append((took - spent["inside"] - spent["loading"]) / took)
                loading.append(spent["loading"] / took)
    return outside, loading


def main(names: list[str]) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    rows, lines = [], []
    for name in names or CASES:
        rows.append(against_plain(name, CASES[name]))
        parts = [
            f"{median(each):.1%} ({low:.1%} to {high:.1%})"
            for each in shares(CASES[name])
            for low, high in [median_interval(each)]
        ]
        lines.append(f"| {name} | {parts[0]} | {parts[1]} |")
    show("Networks", rows)
    print(f"\n| of a step | the loop, wanted {MAX_LOOP:.0%} | loading, wanted {MAX_LOADING:.0%} |")
    print("\n".join(["|---|---|---|", *lines]))


if __name__ == "__main__":
    main(sys.argv[1:])
