"""
What torch allocates on the CPU for a run on random examples; ``python -m``, a spec, ``step | run``.

It writes the largest number of bytes that were allocated at a time: up to the third step, or in the
whole run with its evaluation. The dataset is not counted.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from optcore.data.examples import Dataset, Examples
from optcore.data.load import load
from optcore.spec.datasets.objectives import ObjectiveSpec
from optcore.spec.run import RunSpec
from optcore.training.loop import train
from optcore.training.run import Run

STEPS = 3


def examples(spec: RunSpec, number: int, draw: torch.Generator) -> Examples:
    shape, size = (number, *spec.dataset.shape), spec.dataset.target.size
    if spec.dataset.input.integers:
        tokens = torch.randint(0, size, (2, *shape), generator=draw)
        return Examples(tokens[0], tokens[1])
    inputs = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
    return Examples(inputs, torch.randint(0, size, (number,), generator=draw))


def peak(spec: RunSpec, dataset: Dataset, steps: int | None) -> int:
    """Return the most bytes allocated at a time in *steps* steps; None for the whole run."""
    # Counted from the start of the profile, so that all memory of the run is allocated in it.
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run = Run.of(spec, dataset)
        for _ in islice(train(run), steps):
            pass
    results = profiled.profiler.kineto_results
    most, left = 0, list(results.experimental_event_tree())
    while left:
        event = left.pop()
        left += event.children
        if event.tag.name == "Allocation":
            most = max(most, event.typed[1].total_allocated)
    return most


def main() -> None:
    spec, draw = RunSpec.parse(json.loads(sys.argv[1])), torch.Generator().manual_seed(1)
    known = isinstance(spec.dataset, ObjectiveSpec)  # made, and of no size
    dataset = (
        load(spec.dataset, Path())
        if known
        else Dataset(
            examples(spec, spec.dataset.train_examples, draw),
            examples(spec, spec.dataset.test_examples, draw),
        )
    )
    sys.stdout.write(f"{peak(spec, dataset, STEPS if sys.argv[2] == 'step' else None)}\n")


if __name__ == "__main__":
    main()
