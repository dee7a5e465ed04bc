"""Losses by name, each beside torch's own, and what counts as right."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from optcore.metrics.sequences import best_paths
from optcore.spec.errors import SpecError
from optcore.spec.layers.base import TensorSpec
from optcore.spec.tasks.losses import LOSSES, AnyLoss
from optcore.spec.tasks.tasks import Target
from optcore.training.losses import loss_of
from tests.support.optcore.runs.small import evaluations, spec_of, start

parser: TypeAdapter[AnyLoss] = TypeAdapter(AnyLoss)

LABELS = torch.tensor([2, 0, 1, 2])
TORCHS: dict[str, tuple[dict[str, Any], nn.Module]] = {
    "cross_entropy": ({"label_smoothing": 0.2}, nn.CrossEntropyLoss(label_smoothing=0.2)),
    "mse": ({}, nn.MSELoss()),
    "l1": ({}, nn.L1Loss()),
    "huber": ({"delta": 0.3}, nn.HuberLoss(delta=0.3)),
    "bce": ({}, nn.BCEWithLogitsLoss()),
    "nll": ({}, nn.NLLLoss()),
}
COLUMNS = {
    "kind": "sequential",
    "layers": [
        {"kind": "conv2d", "out_channels": 16, "kernel_size": 3, "padding": 1},
        {"kind": "relu"},
        {"kind": "conv2d", "out_channels": 11, "kernel_size": 8, "padding": 0},
    ],
}


CLASSES = Target("classification", 3)


def outputs() -> Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", TORCHS)
def test_a_loss_is_torchs(kind: str) -> None:
    fields, theirs = TORCHS[kind]
    classes = kind in ("cross_entropy", "nll")
    target = LABELS if classes else nn.functional.one_hot(LABELS, 3).double()

    ours = loss_of(parser.validate_python({"kind": kind, **fields}), CLASSES)

    torch.testing.assert_close(ours(outputs(), LABELS), theirs(outputs(), target))


def test_ctc_is_torchs_on_sequences_of_one_class() -> None:
    maps = torch.randn(4, 4, 1, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_probs = maps.squeeze(2).permute(2, 0, 1).log_softmax(2)
    lengths, ones = torch.full((4,), 7), torch.ones(4, dtype=torch.int64)

    ours = loss_of(parser.validate_python({"kind": "ctc"}), CLASSES)(maps, LABELS)

    theirs = nn.CTCLoss()(log_probs, (LABELS + 1).unsqueeze(1), lengths, ones)
    torch.testing.assert_close(ours, theirs)


def test_ctc_takes_a_sequence_as_it_takes_a_map_of_height_1() -> None:
    maps = torch.randn(4, 4, 1, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sequences = maps.squeeze(2).transpose(1, 2).contiguous()
    loss = loss_of(parser.validate_python({"kind": "ctc"}), CLASSES)

    assert torch.equal(loss(sequences, LABELS), loss(maps, LABELS))
    assert best_paths(sequences) == best_paths(maps)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((4, 1, 9), True),
        ((9, 4), True),
        ((8, 4), False),  # too few steps: 5 equal classes need 4 blanks
        ((4, 1, 8), False),
        ((9, 3), False),
        ((4, 9), False),
        ((4, 2, 9), False),
        ((4,), False),
    ],
)
def test_outputs_that_ctc_takes(shape: tuple[int, ...], fits: bool) -> None:
    loss = parser.validate_python({"kind": "ctc"})

    assert loss.takes(TensorSpec.of(shape), Target("sequence", 3, 5)) is fits


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ([0, 3, 3, 0], True),  # blank, class 2 twice in a row, blank
        ([3, 0, 0, 3], False),  # class 2 said twice
        ([3, 3, 3, 3], True),
        ([0, 0, 0, 0], False),
        ([3, 3, 1, 0], False),  # another class after it
    ],
)
def test_ctc_is_right_if_the_best_path_says_the_class_once(path: list[int], told: bool) -> None:
    maps = nn.functional.one_hot(torch.tensor([path]), 4).permute(0, 2, 1).unsqueeze(2).float()

    assert (best_paths(maps) == [[2]]) is told


def test_every_loss_is_tested() -> None:
    """The loss objective in tests/optcore/training/tasks/test_minimization.py."""
    assert set(LOSSES) == {*TORCHS, "ctc", "objective"}


@pytest.mark.parametrize("kind", [*TORCHS, "ctc"])
def test_a_network_learns_with_every_loss(kind: str) -> None:
    changes: dict[str, Any] = {"loss": {"kind": kind}, "epochs": 12, "validation": 0.1}
    if kind == "nll":
        layers = [{"kind": "flatten"}, {"kind": "linear", "out_features": 10}]
        layers.append({"kind": "log_softmax"})
        changes["model"] = {"kind": "sequential", "layers": layers}
    if kind == "ctc":
        changes["model"] = COLUMNS

    found = evaluations(start(optimizer={"kind": "adam", "lr": 0.01}, **changes))

    assert found[-1].metric("val_loss") < found[0].metric("val_loss")
    accuracy = "test_sequence_accuracy" if kind == "ctc" else "test_accuracy"
    # l1 finds medians, mostly 0
    assert found[-1].metric(accuracy) > (0.13 if kind == "l1" else 0.6)


@pytest.mark.parametrize("kind", [*TORCHS, "ctc"])
def test_losses_are_computed_in_float32_at_least(kind: str) -> None:
    outputs = torch.ones(2, 4, 1, 5) if kind == "ctc" else torch.ones(2, 3)
    loss = loss_of(parser.validate_python({"kind": kind}), CLASSES)

    assert loss(outputs.bfloat16(), torch.tensor([0, 2])).dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"loss": {"kind": "ctc"}},
            "model: model must fit loss ctc, which needs a map of height 1, or a sequence, at "
            "least 2 n - 1 wide or long for targets of up to n classes, with one channel or "
            "feature per class and one for the blank, "
            "got an output (features 10); digits has 10 classes",
        ),
        (
            {"loss": {"kind": "nll"}},
            "training.loss.kind: loss nll needs a model whose last layer is log_softmax, got "
            "linear; for a model without log_softmax, use cross_entropy",
        ),
        (
            {"loss": {"kind": "ctc"}, "model": COLUMNS, "top_k": 3},
            "training.top_k: top_k needs the task classification, but the task of this run is "
            "sequence, got 3",
        ),
        (
            {"loss": {"kind": "cross_entropy", "label_smoothing": 1.0}},
            "training.loss.label_smoothing: label_smoothing must be below 1, got 1.0",
        ),
        (
            {"loss": {"kind": "mae"}},
            "training.loss.kind: kind must be one of cross_entropy, mse, l1, huber, bce, nll, ctc, "
            "objective, got 'mae'; did you mean 'l1'?",
        ),
    ],
)
def test_losses_that_do_not_fit_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(**changes)

    assert str(caught.value) == text
