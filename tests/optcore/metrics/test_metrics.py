"""Every metric beside scikit-learn's or torch's, over batches of different sizes, in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import rosen
from sklearn import metrics as reference
from torch import Tensor, nn

from optcore.metrics.base import Measured, Metric, Subject
from optcore.metrics.catalogue import metrics, metrics_of
from optcore.metrics.sequences import best_paths, edit_distance
from optcore.spec.tasks.losses import AnyLoss, CrossEntropy, Ctc, ObjectiveValue
from optcore.spec.tasks.tasks import TASKS, Objective, Target, Task
from optcore.training.evaluation import measured_by
from optcore.training.losses import Loss, loss_of

EXAMPLES, CLASSES, STEPS = 107, 5, 9
BATCHES = (40, 40, 27)
GENERATOR = torch.Generator().manual_seed(5)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def classes(*shape: int, most: int = CLASSES) -> Tensor:
    return torch.randint(0, most, shape, generator=GENERATOR)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs, targets)


# Class 4 has no example and is never predicted.
SCORES = drawn(EXAMPLES, CLASSES) - 100 * torch.eye(CLASSES, dtype=torch.float64)[4]
LABELS = classes(EXAMPLES, most=4)
MARKS = (drawn(EXAMPLES, CLASSES) > 0.3).double()
MARKS[:, 4] = 0
MARKING = drawn(EXAMPLES, CLASSES) - 100 * torch.eye(CLASSES, dtype=torch.float64)[4]
NUMBERS = 1e6 + drawn(EXAMPLES, 3)
GUESSES = NUMBERS + 0.1 * drawn(EXAMPLES, 3)
TOKENS, WORDS = classes(EXAMPLES, STEPS), drawn(EXAMPLES, STEPS, CLASSES)
LENGTHS = torch.randint(1, 4, (EXAMPLES,), generator=GENERATOR)
TEXT = classes(EXAMPLES, 3).masked_fill(torch.arange(3) >= LENGTHS.unsqueeze(1), -1)
MAPS = drawn(EXAMPLES, CLASSES + 1, 1, STEPS)
OBJECTIVE = Objective("rosenbrock", CLASSES)
POINTS, NOISE = drawn(EXAMPLES, CLASSES), drawn(EXAMPLES, CLASSES)

REFERENCE: dict[tuple[Task, str], Callable[[], Any]] = {
    ("classification", "loss"): lambda: nn.functional.cross_entropy(SCORES, LABELS),
    ("classification", "accuracy"): lambda: reference.accuracy_score(LABELS, SCORES.argmax(1)),
    ("classification", "top_k"): lambda: reference.top_k_accuracy_score(
        LABELS, SCORES, k=2, labels=np.arange(CLASSES)
    ),
    ("classification", "macro_f1"): lambda: reference.f1_score(
        LABELS, SCORES.argmax(1), average="macro"
    ),
    ("classification", "confusion"): lambda: reference.confusion_matrix(
        LABELS, SCORES.argmax(1), labels=np.arange(CLASSES)
    ).tolist(),
    ("multi_label", "loss"): lambda: nn.functional.binary_cross_entropy_with_logits(MARKING, MARKS),
    ("multi_label", "accuracy"): lambda: reference.accuracy_score(MARKS, MARKING > 0),
    ("multi_label", "macro_f1"): lambda: reference.f1_score(
        MARKS, MARKING > 0, average="macro", zero_division=0
    ),
    ("regression", "loss"): lambda: mse(GUESSES, NUMBERS),
    ("regression", "mae"): lambda: reference.mean_absolute_error(NUMBERS, GUESSES),
    ("regression", "rmse"): lambda: reference.root_mean_squared_error(NUMBERS, GUESSES),
    ("regression", "r2"): lambda: reference.r2_score(NUMBERS, GUESSES),
    ("language_model", "loss"): lambda: nn.functional.cross_entropy(
        WORDS.flatten(0, 1), TOKENS.flatten()
    ),
    ("language_model", "accuracy"): lambda: reference.accuracy_score(
        TOKENS.flatten(), WORDS.flatten(0, 1).argmax(1)
    ),
    ("language_model", "perplexity"): lambda: nn.functional.cross_entropy(
        WORDS.flatten(0, 1), TOKENS.flatten()
    ).exp(),
    ("language_model", "bits_per_byte"): lambda: (
        nn.functional.cross_entropy(WORDS.flatten(0, 1), TOKENS.flatten()) / math.log(2) / 4.5
    ),
    ("sequence", "loss"): lambda: nn.functional.ctc_loss(
        MAPS.squeeze(2).permute(2, 0, 1).log_softmax(2),
        TEXT + 1,
        torch.full((EXAMPLES,), STEPS),
        LENGTHS,
        reduction="none",
    ).mean(),
    ("sequence", "sequence_accuracy"): lambda: np.mean(
        [said == told for said, told in zip(best_paths(MAPS), texts(), strict=True)]
    ),
    ("sequence", "character_error_rate"): lambda: (
        sum(edit_distance(*pair) for pair in zip(best_paths(MAPS), texts(), strict=True))
        / int(LENGTHS.sum())
    ),
    ("minimization", "loss"): lambda: (
        rosen(POINTS.numpy().T).mean() + (NOISE * (POINTS - 1)).sum(1).mean()
    ),
    ("minimization", "distance"): lambda: np.linalg.norm(POINTS.numpy() - 1, axis=1).mean(),
}
"""Task and name of a metric -> the value of all examples at once."""

MEASURED: dict[Task, tuple[Tensor, Tensor, AnyLoss | None]] = {
    "classification": (SCORES, LABELS, CrossEntropy(kind="cross_entropy")),
    "multi_label": (MARKING, MARKS, None),
    "regression": (GUESSES, NUMBERS, None),
    "sequence": (MAPS, TEXT, Ctc(kind="ctc")),
    "language_model": (WORDS, TOKENS, CrossEntropy(kind="cross_entropy")),
    "minimization": (POINTS, NOISE, ObjectiveValue(kind="objective")),
}


def texts() -> list[list[int]]:
    return [row[:n] for row, n in zip(TEXT.tolist(), LENGTHS.tolist(), strict=True)]


def measured(name: str, task: Task, batches: tuple[int, ...], loss: Loss | None = None) -> Any:
    metric = metrics()[name](Subject(task, CLASSES, 2, bytes_per_token=4.5, objective=OBJECTIVE))
    outputs, targets, spec = MEASURED[task]
    if loss is None and spec is not None:
        loss = loss_of(spec, Target(task, CLASSES, objective=OBJECTIVE))
    for x, y in zip(outputs.split(list(batches)), targets.split(list(batches)), strict=True):
        if loss is not None:
            metric.add(measured_by(loss, x, y))
        else:
            mean = mse if task == "regression" else nn.functional.binary_cross_entropy_with_logits
            metric.add(Measured(x, y, mean(x, y), torch.tensor(float(len(y)))))
    return metric.value()


@pytest.mark.parametrize(("task", "name"), REFERENCE)
@pytest.mark.parametrize("batches", [BATCHES, (EXAMPLES,), (1, 106)])
def test_a_metric_is_the_reference_over_any_batches(
    task: Task, name: str, batches: tuple[int, ...]
) -> None:
    expected = REFERENCE[task, name]()

    found = measured(name, task, batches)

    if name == "confusion":
        assert found == expected
    else:
        assert found == pytest.approx(float(expected), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_of_a_task_is_tested(task: Task) -> None:
    assert metrics_of(task).keys() == {name for each, name in REFERENCE if each == task}


@pytest.mark.parametrize("task", ["classification", "language_model"])
@pytest.mark.parametrize("name", ["loss", "accuracy"])
def test_ignored_targets_and_weights_count_as_in_one_batch(task: Task, name: str) -> None:
    weights = [1.0, 0.5, 2.0, 0.25, 3.0]
    spec = CrossEntropy(kind="cross_entropy", class_weights=weights, ignore_index=3)
    loss = loss_of(spec, Target(task, CLASSES))
    outputs, targets, _ = MEASURED[task]
    flat, truth = outputs.reshape(-1, CLASSES), targets.flatten()
    if name == "loss":
        table = torch.tensor(weights, dtype=torch.float64)
        expected = nn.functional.cross_entropy(flat, truth, table, ignore_index=3)
    else:
        expected = (flat.argmax(1) == truth)[truth != 3].double().mean()

    found = measured(name, task, BATCHES, loss)

    assert found == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ([], [], 0),
        ([1, 2, 3], [], 3),
        ([], [1], 1),
        (list(b"kitten"), list(b"sitting"), 3),
        (list(b"saturday"), list(b"sunday"), 3),
    ],
)
def test_an_edit_distance_is_levenshteins(a: list[int], b: list[int], distance: int) -> None:
    assert edit_distance(a, b) == distance


def test_constant_targets_have_an_r2_of_1_if_all_outputs_are_right_else_0() -> None:
    r2 = metrics()["r2"]
    same = torch.full((4, 1), 2.0, dtype=torch.float64)

    found = []
    for outputs in (same, same + 1):
        metric: Metric = r2(Subject("regression", 1))
        metric.add(Measured(outputs, same, torch.tensor(0.0), torch.tensor(4.0)))
        found.append(metric.value())

    assert found == [1.0, 0.0]
    assert found == [
        reference.r2_score(same, same),
        reference.r2_score(same, same + 1),
    ]


def test_a_perplexity_beyond_float64_is_the_largest_float64() -> None:
    metric = metrics()["perplexity"](Subject("language_model", 3))

    words = torch.full((2, 3), 0.0)
    words[:, 0] = 1e4
    metric.add(Measured(words, torch.tensor([1, 2]), torch.tensor(1e4), torch.tensor(1.0)))

    assert metric.value() == pytest.approx(1.7976931348623157e308)
