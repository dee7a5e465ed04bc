"""What is said of validation examples that the weights of a clone were trained on."""

from typing import Any

import numpy as np
import pytest

from optcore.spec.datasets.digits import Digits
from optcore.spec.datasets.mnist import Mnist
from optcore.spec.datasets.mnist_lines import MnistLines, MnistLinesRotated
from optcore.spec.datasets.objectives import Quadratic
from optcore.spec.datasets.trained_on import TrainedOn, joined, warnings
from optcore.spec.datasets.validation_split import Validation, validation_positions


def digits(validation: Validation | None) -> Digits:
    return Digits(kind="digits", batch_size=1, validation=validation)


def after(*validations: Validation | None) -> list[TrainedOn]:
    """Return what weights were trained on by jobs a, b, ... with these validation splits."""
    found: list[TrainedOn] = []
    for job, validation in zip("abcd", validations, strict=False):
        found = joined(found, TrainedOn.of(job, digits(validation)))
    return found


def told(validation: Validation | None, *before: Validation | None) -> str:
    return "; ".join(warnings(digits(validation), after(*before)))


SPLITS: list[Validation] = [1, 0.001, 17, 0.1, 150, 151, 0.4, 700, 0.99, 1499]


@pytest.mark.parametrize("before", [None, *SPLITS])
@pytest.mark.parametrize("now", SPLITS)
def test_the_count_is_that_of_the_positions(now: Validation, before: Validation | None) -> None:
    none = np.empty(0, np.int64)
    left_out = none if before is None else validation_positions(1500, before)
    trained = np.setdiff1d(np.arange(1500), left_out)
    chosen = validation_positions(1500, now)
    number = len(np.intersect1d(chosen, trained))

    text = told(now, before)

    assert text.startswith(f"dataset.validation: {number} of ") if number else text == "", text


def test_the_warning_names_the_field_the_job_and_what_follows() -> None:
    assert told(300, 100) == (
        "dataset.validation: 200 of the 300 validation examples are training examples of job a, "
        "which trained the weights that this job starts from, so its val_ metrics look too good; "
        "with dataset.validation at most 100, none would be"
    )
    assert told(0.1, None).endswith(
        "so its val_ metrics look too good; job a held out no training examples"
    )


def test_every_job_before_counts_not_only_the_last() -> None:
    assert told(300, 100, 300).startswith("dataset.validation: 200 of the 300")
    assert "job a," in told(300, 100, 300)
    assert "job b," in told(300, 300, 100)
    assert told(300, 300, 500) == ""


@pytest.mark.parametrize("validations", [(), (None,), (0.1, 200, None, 5)])
def test_one_entry_is_kept_for_a_dataset(validations: Any) -> None:
    assert len(after(*validations)) == min(len(validations), 1)


def test_without_validation_examples_nothing_is_said() -> None:
    assert told(None, None) == ""


def test_nothing_is_said_of_a_function_whose_evaluations_have_no_noise() -> None:
    first, other = (Quadratic(kind="quadratic", noise=noise) for noise in (0.5, 2.0))

    assert warnings(first, [TrainedOn.of("a", first)]) == []
    assert warnings(first, [TrainedOn.of("a", other)]) == []


def mnist(**fields: Any) -> Mnist:
    return Mnist(kind="mnist", **fields)


def test_files_with_the_same_digits_are_named() -> None:
    trained = [TrainedOn.of("a", mnist())]

    (text,) = warnings(mnist(source="json.gz"), trained)

    assert text == (
        "dataset.source: validation examples of mnist may be training examples of job a, which "
        "trained the weights that this job starts from with source idx, so its val_ metrics may "
        "look too good"
    )
    assert warnings(mnist(source="json.gz"), [TrainedOn.of("a", mnist(source="json.gz"))]) == []
    assert len(warnings(mnist(validation=0.1), [TrainedOn.of("a", mnist(source="json.gz"))])) == 1


def test_another_dataset_does_not_matter() -> None:
    assert warnings(mnist(validation=0.1), after(None)) == []


def test_it_is_stored_as_json() -> None:
    trained = after(0.1)[0]

    assert TrainedOn.read(trained.stored()) == trained
    assert trained.stored() == {"job": "a", "dataset": {"kind": "digits"}, "left_out": 143}


def test_a_dataset_that_is_made_of_another_may_have_its_examples() -> None:
    lines = MnistLines(kind="mnist_lines", validation_lines=100)
    turned = MnistLinesRotated(kind="mnist_lines_rotated", validation_lines=100)
    mnist = Mnist(kind="mnist", validation=1000)

    (of_lines,) = warnings(lines, [TrainedOn.of("a", mnist)])
    (of_mnist,) = warnings(mnist, [TrainedOn.of("a", lines)])

    assert of_lines == (
        "dataset.kind: validation examples of mnist_lines may be training examples of job a, which "
        "trained the weights that this job starts from with kind mnist, so its val_ metrics may "
        "look too good"
    )
    assert of_mnist.startswith("dataset.kind: validation examples of mnist may be training")
    assert warnings(turned, [TrainedOn.of("a", lines)]) == []
    assert warnings(digits(100), [TrainedOn.of("a", mnist)]) == []
