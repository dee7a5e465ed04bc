"""Readers on real files and on broken ones, and the order examples are served in."""

import gzip
import json
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch

from optcore.data.batches import Batches, permutation
from optcore.data.examples import DatasetMissing, Examples, served
from optcore.data.load import SOURCES, load
from optcore.data.sources.mnist import read_json_file
from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.datasets.digit_lines import DigitLines
from optcore.spec.datasets.digit_segments import SEGMENTS, DigitSegments
from optcore.spec.datasets.digits import Digits
from optcore.spec.datasets.mnist import Mnist

NOWHERE = Path("/nonexistent")
"""No folder: these datasets need none."""


@pytest.mark.parametrize("kind", DATASETS)
def test_every_dataset_has_a_reader_of_its_name(kind: str) -> None:
    assert list(signature(SOURCES[kind].read).parameters) == ["spec", "folder"]


def test_mnist_from_its_idx_files(mnist: Path) -> None:
    dataset = load(Mnist(kind="mnist"), mnist)

    assert dataset.train.inputs.shape == (60_000, 1, 28, 28)
    assert dataset.train.targets[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert dataset.test.targets[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    assert np.bincount(dataset.train.targets)[:3].tolist() == [5923, 6742, 5958]
    assert served(dataset.train.inputs[:1], torch.float64).max() == 1.0


def test_a_missing_dataset_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetMissing,
        match=r"mnist/train-images-idx3-ubyte does not exist; `optserve datasets fetch mnist` down",
    ):
        load(Mnist(kind="mnist"), tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")

    with pytest.raises(DatasetMissing, match=r"must have SHA-256 ba891046.*, got "):
        load(Mnist(kind="mnist"), tmp_path)


def test_digits_are_real_and_need_no_download(tmp_path: Path) -> None:
    dataset = load(Digits(kind="digits"), tmp_path)

    assert dataset.train.inputs.shape == (1500, 1, 8, 8)
    assert dataset.test.inputs.shape == (297, 1, 8, 8)
    assert dataset.train.targets[:10].tolist() == list(range(10))
    assert dataset.train.inputs.max() == 1.0


def json_file(folder: Path, pair: object) -> Path:
    with gzip.open(folder / "mnist.json.gz", "wt") as file:
        json.dump([pair, pair, pair], file)
    return folder


def test_mnist_from_paddles_json_file(tmp_path: Path) -> None:
    image = [0.0, 0.5, 1.0] + [0.0] * 781
    folder = json_file(tmp_path, [[image, image], [7, 3]])

    dataset = read_json_file(folder)

    assert dataset.train.inputs.shape == (2, 1, 28, 28)
    assert dataset.train.inputs[0, 0, 0, :3].tolist() == [0.0, 0.5, 1.0]
    assert dataset.test.targets.tolist() == [7, 3]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ([[[0.0] * 784], [10]], r"labels must lie in 0..9, got 10 to 10"),
        ([[[2.0] * 784], [1]], r"pixels must lie in 0..1, got 2.0 to 2.0"),
        ([[[0.0] * 783], [1]], r"images must have shape \(1, 784\), got \(1, 783\)"),
        ([[[0.0] * 784], [1.7]], r"labels must be whole numbers, got 1\.7"),
        ([[0.0]], "must hold three"),
    ],
)
def test_a_json_file_of_another_form_is_refused(tmp_path: Path, pair: object, message: str) -> None:
    with pytest.raises(DatasetMissing, match=message):
        read_json_file(json_file(tmp_path, pair))


@pytest.mark.parametrize("damage", ["cut", "not gzip"])
def test_a_json_file_that_cannot_be_unpacked_is_refused(tmp_path: Path, damage: str) -> None:
    path = json_file(tmp_path, [[[0.0] * 784], [1]]) / "mnist.json.gz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"[]")

    with pytest.raises(DatasetMissing, match="must hold three"):
        read_json_file(tmp_path)


def test_a_json_file_with_too_few_examples_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    json_file(tmp_path / "mnist", [[[0.0] * 784], [1]])

    with pytest.raises(
        DatasetMissing, match="must have 50000 training, 10000 validation and 10000 test examples"
    ):
        load(Mnist(kind="mnist", source="json.gz"), tmp_path)


def batches(*, shuffle: bool) -> Batches:
    examples = Examples(torch.arange(10.0).reshape(10, 1, 1, 1), torch.arange(10))
    return Batches(examples, batch_size=4, shuffle=shuffle, seed=3, dtype=torch.float32)


def test_examples_come_in_order_and_the_last_batch_is_short() -> None:
    served = batches(shuffle=False)

    labels = [served.next()[1].tolist() for _ in range(4)]

    assert labels == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [0, 1, 2, 3]]


def test_shuffled_epochs_serve_every_example_once_in_new_orders() -> None:
    served = batches(shuffle=True)

    epochs = [[label for _ in range(3) for label in served.next()[1].tolist()] for _ in range(3)]

    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[1] == permutation(10, seed=3, epoch=1).tolist()


def test_validation_lines_share_no_digit_with_training_lines() -> None:
    """Else a network would be chosen by what it remembers."""
    lines = load(DigitLines(kind="digit_lines"), NOWHERE)

    assert lines.validation is not None
    parts = [
        {
            tuple(digit.flatten().tolist())
            for line in part.inputs[:, 0]
            for digit in line.split(8, dim=1)
            if digit.any()
        }
        for part in (lines.train, lines.validation, lines.test)
    ]
    assert [len(part.targets) for part in (lines.train, lines.validation, lines.test)] == [
        *(3000, 500, 500)
    ]
    assert all(len(digits) > 250 for digits in parts)
    train, validation, test = parts
    assert not (train & validation)
    assert not ((train | validation) & test)


def test_segments_are_those_of_a_display() -> None:
    segments = load(DigitSegments(kind="digit_segments"), NOWHERE)
    digits = load(Digits(kind="digits"), NOWHERE)

    lit = {
        int(digit): "".join(letter for letter, on in zip("abcdefg", labels, strict=True) if on)
        for digit, labels in zip(digits.train.targets, segments.train.targets, strict=True)
    }
    assert lit == dict(enumerate(SEGMENTS))
    assert [lit[1], lit[7], lit[8]] == ["bc", "abc", "abcdefg"]
