"""
Measures the loop against a plain PyTorch script, its own overhead, and the cost of exactness.

The script is what one writes without a framework: the same network and batches, with all data in
one float tensor, no DataLoader, and torch.optim.Adam with its defaults. The loop's overhead is the
time of a step outside forward, backward and update: batching, reports, freeing memory. The cost of
exactness is measured by running the loop with and without torch's deterministic algorithms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness import Comparison, compare, median_interval, show
from optcore.data.examples import Dataset, DatasetMissing, Examples, served
from optcore.data.load import load
from optcore.spec.run import RunSpec
from optcore.training import loop
from optcore.training.run import Run
from optcore.training.steps import step
from optcore.training.steps.ahead import AHEAD

DATA_DIR = Path(__file__).parents[1] / ".optserve" / "data"
BATCH_SIZE = 100
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
STEPS = 20 if DEVICE == "cpu" else 20 * AHEAD
"""Steps per measurement: few enough that both sides of a pair see the machine in the same state."""
WANTED = 1.4 if DEVICE == "cpu" else 5.0
WARM_UP = 30
"""Number of first steps that are not counted."""
SPEC = RunSpec.parse(
    {
        "model": {"kind": "mnist_cnn"},
        "dataset": {"kind": "mnist", "batch_size": BATCH_SIZE, "shuffle": True},
        "optimizer": {"kind": "adam", "lr": 1e-3},
        "training": {"epochs": 1000, "evaluate_every": None},  # more than is ever measured
    }
)


def mnist() -> Dataset:
    """Return MNIST if its files exist, else noise of the same shape, which costs the same."""
    try:
        return load(SPEC.dataset, DATA_DIR)
    except DatasetMissing:
        images = torch.randint(0, 256, (60_000, 1, 28, 28), dtype=torch.uint8)
        examples = Examples(images, torch.arange(60_000) % 10)
        return Dataset(examples, examples)


def start(dataset: Dataset) -> Run:
    """Return a run of `SPEC` on *dataset*."""
    return Run.of(SPEC, dataset, device=DEVICE)


def our_loop(run: Run, steps: int) -> Callable[[], float]:
    """Return a function that makes *steps* more updates and returns the seconds per update."""
    reports = loop.train(run)

    def measure() -> float:
        begin = time.perf_counter()
        losses = list(islice(reports, steps))
        return (time.perf_counter() - begin) / len(losses)

    return measure


def plain_script(dataset: Dataset, steps: int) -> Callable[[], float]:
    """Return a function like that of `our_loop`, for a plain PyTorch script."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 20, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 20, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(980, 10),
    ).to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    examples = dataset.train.to(torch.device(DEVICE))
    images, labels = served(examples.inputs, torch.float32), examples.targets
    batches = endless_batches(images, labels)

    def measure() -> float:
        begin = time.perf_counter()
        losses = []
        for batch, target in islice(batches, steps):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(batch), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return (time.perf_counter() - begin) / len(losses)

    return measure


def endless_batches(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches, epoch after epoch."""
    while True:
        for chosen in torch.randperm(len(labels), device=labels.device).split(BATCH_SIZE):
            yield images[chosen], labels[chosen]


def overhead(dataset: Dataset, steps: int = 300) -> list[float]:
    """Return for each of *steps* steps the share of time outside forward, backward and update."""
    run, inside = start(dataset), [0.0]

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **named: Any) -> Any:  # noqa: ANN401  whatever it takes and returns
            begin = time.perf_counter()
            try:
                return work(*args, **named)
            finally:
                inside[0] += time.perf_counter() - begin

        return count

    with pytest.MonkeyPatch.context() as patch:
        for name in ("loss_of", "backward"):
            patch.setattr(step, name, counted(getattr(step, name)))
        patch.setattr(run.optimizer, "step", counted(run.optimizer.step))
        reports, shares = loop.train(run), []
        for _ in range(steps + WARM_UP):
            inside[0], begin = 0.0, time.perf_counter()
            next(reports)
            took = time.perf_counter() - begin
            shares.append((took - inside[0]) / took)
    return shares[WARM_UP:]


def against_plain(dataset: Dataset) -> Comparison:
    """Compare the loop with the plain script."""
    return compare(
        "step of the loop, mnist_cnn, batch 100",
        our_loop(start(dataset), STEPS),
        plain_script(dataset, STEPS),
        pairs=25,
        wanted=WANTED,
        peer_name="plain script",
    )


def exactness(dataset: Dataset) -> Comparison:
    """Compare the loop with deterministic algorithms with the loop without them."""

    def deterministic(measure: Callable[[], float], on: bool) -> Callable[[], float]:
        def measured() -> float:
            torch.use_deterministic_algorithms(on)
            try:
                return measure()
            finally:
                torch.use_deterministic_algorithms(False)

        return measured

    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # as trainers do; torch's stub lacks it
    return compare(
        "step of the loop, exact",
        deterministic(our_loop(start(dataset), STEPS), True),
        deterministic(our_loop(start(dataset), STEPS), False),
        pairs=41,
        peer_name="not exact",
    )


if __name__ == "__main__":
    mnist_examples = mnist()
    show("The loop", [against_plain(mnist_examples), exactness(mnist_examples)])
    found = sorted(overhead(mnist_examples))
    low, high = median_interval(found)
    print(f"Outside forward, backward and update: median {median(found):.1%} of a step, ", end="")
    print(f"95 % interval {low:.1%} to {high:.1%}, wanted at most 3 %")
