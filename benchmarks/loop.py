"""
The loop beside a plain PyTorch script, and beside its own forward, backward and update.

The script is what one writes without any framework: the same network and batches, its data
resident in one float tensor, no DataLoader, torch.optim.Adam as it comes. The second peer is our
own network and optimizer called by hand, on batches made before: what is left is what the loop
costs, batching and reports included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness import Comparison, compare, show
from optcore.data.examples import Dataset, DatasetMissing, Examples, pixels
from optcore.data.load import load
from optcore.spec.run import RunSpec
from optcore.training.loop import train
from optcore.training.run import Run

DATA_DIR = Path(__file__).parents[1] / ".optserve" / "data"
BATCH_SIZE = 100
STEPS = 20
"""Of one measurement, a thirtieth of an epoch: short enough for pairs to see the same machine."""
SPEC = RunSpec.parse(
    {
        "model": {"kind": "mnist_cnn"},
        "dataset": {"kind": "mnist", "batch_size": BATCH_SIZE, "shuffle": True},
        "optimizer": {"kind": "adam", "lr": 1e-3},
        "training": {"epochs": 1000, "evaluate_every": None},  # more than is ever measured
    }
)


def mnist() -> Dataset:
    """Return MNIST if it is there, else noise of its shape: the cost is the same."""
    try:
        return load(SPEC.dataset, DATA_DIR)
    except DatasetMissing:
        images = torch.randint(0, 256, (60_000, 1, 28, 28), dtype=torch.uint8)
        examples = Examples(images, torch.arange(60_000) % 10)
        return Dataset(examples, examples)


def start(dataset: Dataset) -> Run:
    """Return a run of `SPEC` on *dataset*."""
    return Run.of(SPEC, dataset)


def our_loop(run: Run, steps: int) -> Callable[[], float]:
    """Return a function that makes *steps* more updates and returns the seconds of one."""
    reports = train(run)

    def measure() -> float:
        begin = time.perf_counter()
        losses = list(islice(reports, steps))
        return (time.perf_counter() - begin) / len(losses)

    return measure


def plain_script(dataset: Dataset, steps: int) -> Callable[[], float]:
    """Return the same of a plain PyTorch script."""
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
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images, labels = pixels(dataset.train.images, torch.float32), dataset.train.labels
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
        for chosen in torch.randperm(len(labels)).split(BATCH_SIZE):
            yield images[chosen], labels[chosen]


def by_hand(run: Run, steps: int) -> Callable[[], float]:
    """Return the same of forward, backward and update of *run*, and nothing else."""
    batches = [run.batches.next() for _ in range(steps)]
    model, optimizer = run.model, run.optimizer

    def measure() -> float:
        begin = time.perf_counter()
        for images, labels in batches:
            loss = functional.cross_entropy(model(images), labels)
            loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return (time.perf_counter() - begin) / steps

    return measure


def against_plain(dataset: Dataset) -> Comparison:
    """Return the loop beside the plain script."""
    return compare(
        "step of the loop, mnist_cnn, batch 100",
        our_loop(start(dataset), STEPS),
        plain_script(dataset, STEPS),
        pairs=25,
        wanted=1.4,
        peer_name="plain script",
    )


def against_itself(dataset: Dataset) -> Comparison:
    """Return the loop beside what it calls: 0.97 is 3 % of overhead."""
    return compare(
        "step of the loop, beside its forward, backward and update",
        our_loop(start(dataset), STEPS),
        by_hand(start(dataset), STEPS),
        pairs=41,
        wanted=0.97,
        peer_name="by hand",
    )


if __name__ == "__main__":
    mnist_examples = mnist()
    show("The loop", [against_plain(mnist_examples), against_itself(mnist_examples)])
