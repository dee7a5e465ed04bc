"""Lines of MNIST's digits: what they show, where it stands, and what is refused."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from optcore.data.examples import Dataset, DatasetMissing, Examples
from optcore.data.load import load
from optcore.data.sources.mnist import read_idx_files
from optcore.data.sources.mnist_lines import Digits, lines_of
from optcore.data.sources.mnist_lines_rotated import turned
from optcore.plan.facts import DatasetFacts
from optcore.spec.datasets.mnist import Mnist
from optcore.spec.datasets.mnist_lines import MnistLines, MnistLinesRotated, MnistLinesSpec
from optcore.spec.datasets.trained_on import TrainedOn, warnings
from optcore.spec.datasets.validation_split import validation_positions
from optcore.spec.errors import SpecError
from optcore.spec.former.runs import is_former
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import run

FEW: dict[str, Any] = {
    **{"batch_size": 5, "train_lines": 60, "validation_lines": 31, "test_lines": 40},
    **{"seed": 3},
}
SMALL: dict[str, Any] = {"digit_size": 10, "height": 18, "width": 112}
SPLITS = {"train": 1, "test": 2, "validation": 3}
"""Name of a split -> the key of its random numbers."""


def lines(**options: Any) -> MnistLines:
    return MnistLines.parse({"kind": "mnist_lines", **FEW, **options})


def rotated(**options: Any) -> MnistLinesRotated:
    return MnistLinesRotated.parse({"kind": "mnist_lines_rotated", **FEW, **options})


@cache
def whole(data_dir: Path) -> Dataset:
    return read_idx_files(data_dir / "mnist")


@cache
def loaded(spec: MnistLinesSpec, data_dir: Path) -> Dataset:
    """Return the dataset; MNIST's files, which take half a second, are read once for all tests."""
    found = lines_of(spec, whole(data_dir))
    return turned(found, spec.seed) if isinstance(spec, MnistLinesRotated) else found


def part_of(dataset: Dataset, split: str) -> Examples:
    examples = getattr(dataset, split)
    assert isinstance(examples, Examples)
    return examples


def digits_of(data_dir: Path, split: str) -> Digits:
    """Return the digits of MNIST of which the lines of a split are made."""
    examples = part_of(whole(data_dir), "test" if split == "test" else "train")
    part = {"train": slice(50_000), "validation": slice(50_000, None), "test": slice(None)}[split]
    return Digits(examples.inputs[part, 0].numpy(), examples.targets[part].numpy())


def trimmed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image without the black rows and columns around its digit."""
    rows, columns = np.nonzero(image)
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def drawn(spec: MnistLinesSpec, split: str, line: int, digits: Digits) -> tuple[Any, list[int]]:
    """Return the pixels and the digits of a line, drawn with Python's integers."""
    most, factor = spec.max_digits, 20 // spec.digit_size
    each = 2 + 3 * most
    words = np.random.Philox(key=[spec.seed, SPLITS[split]]).random_raw(each * (line + 1))
    number, start, *rest = (int(word) for word in words[-each:])
    pixels = np.zeros((factor * spec.height, factor * spec.width))
    images, read, places, column = [], [], [], 0
    for j in range(spec.min_digits + number % (most - spec.min_digits + 1)):
        which, row, gap = rest[3 * j : 3 * j + 3]
        image = trimmed(digits.images[which % len(digits.images)])
        column += factor + gap % (factor * (spec.max_gap - 1) + 1) if j else 0
        places.append((row % (factor * spec.height - len(image) + 1), column))
        column += image.shape[1]
        images.append(image)
        read.append(int(digits.classes[which % len(digits.images)]))
    start %= factor * spec.width - column + 1
    for image, (row, column) in zip(images, places, strict=True):
        height, width = image.shape
        pixels[row : row + height, start + column : start + column + width] = image
    if factor == 2:
        means = sum(pixels[i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
        pixels = np.floor(means + 0.5)
    return pixels.tolist(), read + [-1] * (most - len(read))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    "options",
    [{}, SMALL, {"min_digits": 1, "max_digits": 3, "max_gap": 1, "width": 62, "height": 20}],
    ids=str,
)
def test_a_line_shows_the_digits_of_its_target(
    mnist: Path, options: dict[str, Any], split: str
) -> None:
    spec = lines(**options)
    digits = digits_of(mnist, split)

    found = part_of(loaded(spec, mnist), split)

    for i, (image, target) in enumerate(zip(found.inputs[:, 0], found.targets, strict=True)):
        assert (image.tolist(), target.tolist()) == drawn(spec, split, i, digits)


def test_lines_have_every_length_digit_and_place(mnist: Path) -> None:
    spec = lines(**SMALL, train_lines=1000)

    found = part_of(loaded(spec, mnist), "train")

    lengths = (found.targets >= 0).sum(1)
    assert sorted(set(lengths.tolist())) == [3, 4, 5, 6, 7, 8]
    assert np.bincount(lengths)[3:].min() > 120
    assert set(found.targets.flatten().tolist()) == set(range(-1, 10))
    inked = found.inputs[:, 0].amax(1).amax(0) > 0
    assert inked[2:-2].all()  # few digits are so wide that they end in the last columns


def test_the_lines_are_those_of_every_machine_and_release(mnist: Path) -> None:
    """A job of today has to train on the same lines tomorrow."""
    found = {}
    for spec in (lines(), rotated(**SMALL)):
        digest = hashlib.sha256()
        for split in SPLITS:
            examples = part_of(loaded(spec, mnist), split)
            digest.update(examples.inputs.numpy().tobytes())
            digest.update(examples.targets.numpy().astype("<i8").tobytes())
        found[spec.kind] = digest.hexdigest()

    assert found == {
        "mnist_lines": "1ab4e733a6b95c1add4d9739e38ff2d804e070988ecfba6a17fe4c39e9a8e68b",
        "mnist_lines_rotated": "d5b47d1fb9dfcc43471c1fc4e117322364fc7eadd9215b3c0b534aba780c2077",
    }


def test_the_page_shows_such_a_line(mnist: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "lines.md").read_text()
    fields = {"digit_size": 10, "height": 14, "width": 96, "max_gap": 2, "seed": 0}

    for spec, target in ((lines(**fields), [7, 9, 6] + [-1] * 5), (rotated(**fields), 1)):
        found = part_of(loaded(spec, mnist), "train")

        rows = ["".join(" .:-=+*#%@"[int(x) * 9 // 255] for x in row) for row in found.inputs[8, 0]]
        assert "\n".join(row.rstrip() for row in rows) in page
        assert found.targets[8].tolist() == target


def test_the_first_lines_are_the_same_however_many_there_are(mnist: Path) -> None:
    few = loaded(lines(), mnist)
    more = loaded(lines(train_lines=90, test_lines=50, validation_lines=40), mnist)
    other, more_of_it = loaded(rotated(), mnist), loaded(rotated(validation_lines=40), mnist)

    for before, after in ((few, more), (other, more_of_it)):
        for split in SPLITS:
            some, all_ = part_of(before, split), part_of(after, split)
            assert torch.equal(some.inputs, all_.inputs[: len(some)]), split
            assert torch.equal(some.targets, all_.targets[: len(some)]), split


def test_another_seed_makes_other_lines(mnist: Path) -> None:
    first, second = loaded(lines(), mnist), loaded(lines(seed=2**63 - 1), mnist)

    for split in SPLITS:
        assert not (part_of(first, split).targets == part_of(second, split).targets).all(1).any()


def test_one_of_every_two_lines_is_turned(mnist: Path) -> None:
    spec = rotated(train_lines=200)
    upright = loaded(lines(train_lines=200), mnist)

    found = loaded(spec, mnist)

    for split in SPLITS:
        before, after = part_of(upright, split), part_of(found, split)
        is_turned = after.targets.bool()
        assert set((after.targets[::2][: len(is_turned) // 2] + after.targets[1::2]).tolist()) == {
            1
        }
        assert torch.equal(after.inputs[~is_turned], before.inputs[~is_turned])
        assert torch.equal(after.inputs[is_turned], before.inputs[is_turned].flip(2, 3))
    # Which of the two is random.
    assert 30 < int(part_of(found, "train").targets[::2].sum()) < 70


def test_where_the_digits_stand_does_not_tell_which_lines_are_turned(mnist: Path) -> None:
    """Else a network would learn the place and not the digits."""
    found = part_of(loaded(rotated(train_lines=1000), mnist), "train")

    inked = found.inputs[:, 0] > 0
    for axis in (1, 2):
        along = inked.any(3 - axis).int()
        before, after = along.argmax(1), along.flip(1).argmax(1)
        for side in (0, 1):
            # Margins of one pixel more on one side, as whole images of MNIST have, would be found.
            margins = (before - after)[found.targets == side].double()
            assert abs(margins.mean()) < 3 * margins.std() / 500**0.5
        assert axis == 2 or 3 * margins.std() / 500**0.5 < 0.5


def test_facts_are_known_without_the_files() -> None:
    facts = DatasetFacts.of(lines())

    assert facts.sizes == (60, 31, 40)
    assert facts.shape == (1, 32, 192)
    target = facts.target
    assert (target.task, target.size, target.longest) == ("sequence", 10, 8)
    target = DatasetFacts.of(rotated()).target
    assert (target.task, target.size, target.longest) == ("classification", 2, 1)


CHANGES: dict[str, Any] = {
    **{"train_lines": 61, "validation_lines": 32, "test_lines": 41, "min_digits": 4},
    **{"max_digits": 7, "digit_size": 10, "max_gap": 3, "height": 33, "width": 193, "seed": 4},
}


def test_every_field_of_the_lines_changes_the_digest() -> None:
    base = lines().model_dump(exclude={"kind"})
    serving = {"batch_size", "shuffle", "validation"}
    assert base.keys() - serving == CHANGES.keys()

    digests = {
        DatasetFacts.of(spec).digest
        for spec in (
            *(lines(), rotated()),
            *(lines(**{name: value}) for name, value in CHANGES.items()),
        )
    }

    assert len(digests) == 2 + len(CHANGES)
    assert lines(batch_size=7, shuffle=False).content == lines().content


@pytest.mark.parametrize("spec", [lines(), rotated(**SMALL)], ids=lambda spec: spec.kind)
def test_the_memory_of_the_examples_is_planned(mnist: Path, spec: MnistLinesSpec) -> None:
    found = load(spec, mnist)  # type: ignore[arg-type]

    tensors = [
        tensor
        for split in SPLITS
        for tensor in (part_of(found, split).inputs, part_of(found, split).targets)
    ]
    assert spec.memory_bytes == sum(tensor.nbytes for tensor in tensors)


def test_a_share_of_the_training_lines_is_held_out(mnist: Path) -> None:
    all_ = part_of(loaded(lines(validation_lines=0), mnist), "train")

    found = load(lines(validation_lines=0, validation=0.25), mnist)

    chosen = torch.from_numpy(validation_positions(60, 0.25).copy())
    assert torch.equal(part_of(found, "validation").inputs, all_.inputs[chosen])
    assert len(found.train) + len(chosen) == 60


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"train_lines": 0}, "train_lines must be at least 1, got 0"),
    ({"train_lines": 200_001}, "train_lines must be at most 200000, got 200001"),
    ({"max_digits": 33}, "max_digits must be at most 32, got 33"),
    ({"digit_size": 14}, "digit_size must be one of 10, 20, got 14"),
    ({"max_gap": 0}, "max_gap must be at least 1, got 0"),
    ({"seed": 2**63}, "seed must be below 9223372036854775808"),
    ({"lines": 5}, "unknown field 'lines'; did you mean"),
    (
        {"min_digits": 5, "max_digits": 4},
        "min_digits must be at most max_digits, which is 4, got 5",
    ),
    ({"height": 19}, "height must be at least digit_size, which is 20, got 19"),
    (
        {"width": 187},
        "width must be at least 188, for 8 digits of 20 pixels with gaps of up to 4, got 187",
    ),
    ({"max_gap": 5}, "width must be at least 195, for 8 digits of 20 pixels with gaps of up to 5"),
    (
        {"validation": 0.1},
        "validation must be null if validation_lines is not 0, since both say which lines are "
        "for validation, got 0.1 with validation_lines 31",
    ),
    (
        {"train_lines": 87_000, "test_lines": 1_000, "validation_lines": 0},
        "train_lines, validation_lines and test_lines must have a sum of at most 87381 lines of "
        "32 x 192 pixels, got 88000",
    ),
    ({"batch_size": 61}, "batch_size must be at most 60, the number of training examples"),
]


@pytest.mark.parametrize(("options", "message"), ERRORS, ids=str)
@pytest.mark.parametrize("parse", [lines, rotated])
def test_what_does_not_fit_together_is_refused(
    parse: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        parse(**options)


@pytest.mark.parametrize("spec", [lines(), rotated()], ids=lambda spec: spec.kind)
def test_without_the_files_of_mnist_the_error_is_that_of_mnist(
    tmp_path: Path, spec: MnistLinesSpec
) -> None:
    with pytest.raises(DatasetMissing) as expected:
        load(Mnist(kind="mnist"), tmp_path)

    with pytest.raises(DatasetMissing) as found:
        load(spec, tmp_path)  # type: ignore[arg-type]

    assert str(found.value) == str(expected.value)
    assert str(tmp_path / "mnist" / "train-images-idx3-ubyte") in str(found.value)


CTC: dict[str, Any] = {"steps": 20, "loss": {"kind": "ctc"}}


def test_release_0_2_0_does_not_compute_such_a_run() -> None:
    crnn = {"kind": "crnn", "backbone": {"kind": "mobilenet_v3", "scale": 0.1}}
    read = run(model=crnn, dataset=lines(validation_lines=0).model_dump(), training=CTC)

    assert not is_former(RunSpec.parse(read))
    layers = [{"kind": "flatten"}, {"kind": "linear", "out_features": 2}]
    network = {"kind": "sequential", "layers": layers}
    told = run(model=network, dataset=rotated(validation_lines=0).model_dump())
    assert not is_former(RunSpec.parse(told))


def test_no_job_trains_on_validation_lines() -> None:
    trained = [TrainedOn.of("a", lines(train_lines=70, seed=4))]

    assert warnings(lines(), trained) == []
    (text,) = warnings(lines(validation_lines=0, validation=0.1), trained)
    assert text.startswith("dataset.train_lines: validation examples of mnist_lines may be traini")
