"""
Measures evaluations in CPU time: in batches as large as their memory allows, beside those of 1000.

Data are noise. One thread computes. Wanted: not slower for any network, whatever its size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from benchmarks.harness import Comparison, compare, show
from benchmarks.network_steps import CASES, Case, deterministic, images, noise, spec_of
from optcore.data.examples import Examples, served
from optcore.plan.memory.memory import EVALUATED_TOGETHER, evaluated
from optcore.spec.run import RunSpec
from optcore.training.run import Run

PAIRS = 15
NOT_SLOWER = 0.97
EXAMPLES = 1000
"""Most examples that are evaluated in a measurement."""
EVALUATED = {
    **{name: CASES[name] for name in ("mobilenet_v3 paddleocr", "crnn", "vit", "gpt")},
    "mnist_cnn": Case({"kind": "mnist_cnn"}, {**images(100), "validation": 0.1}, NOT_SLOWER),
    "mlp": Case({"kind": "mlp", "hidden": [512, 512]}, images(100), NOT_SLOWER),
}


def in_batches(run: Run, examples: Examples, size: int) -> Callable[[], float]:
    """Return a function that returns the seconds for *examples* in batches of *size*."""

    def measure() -> float:
        begin = time.process_time()
        run.model.eval()
        with torch.no_grad():
            for inputs in examples.inputs.split(size):
                run.forward(served(inputs, run.dtype))
        return time.process_time() - begin

    return measure


def some(spec: RunSpec, run: Run) -> Examples:
    """Return as many examples as are evaluated here."""
    numbers = torch.arange(min(EXAMPLES, spec.dataset.train_examples))
    return run.dataset.train.at(numbers)


def comparisons() -> Iterator[Comparison]:
    """Compare batches of the size that evaluations have with batches of 1000."""
    for name, case in EVALUATED.items():
        spec = spec_of(case)
        run, size = Run.of(spec, noise(spec)), evaluated(spec, "cpu")
        examples = some(spec, run)
        yield compare(
            f"{len(examples)} examples, {name}, batches of {size}",
            in_batches(run, examples, size),
            in_batches(run, examples, EVALUATED_TOGETHER),
            pairs=PAIRS,
            wanted=NOT_SLOWER,
            peer_name=f"batches of {EVALUATED_TOGETHER}",
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    deterministic(True)
    show("Evaluation", list(comparisons()))
