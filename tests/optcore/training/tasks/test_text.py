"""Runs on a text: its windows, what is refused, evaluations, and runs that are continued."""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optcore.data.examples import Dataset, DatasetMissing
from optcore.data.load import load
from optcore.data.windows import Windows
from optcore.files.files import Files
from optcore.plan.facts import DatasetFacts
from optcore.spec.datasets.text import Text
from optcore.spec.errors import SpecError
from optcore.spec.former.runs import is_former
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.loop import train
from optcore.training.reports import Evaluation, StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.continuing import finish
from tests.support.optcore.texts import write_text

TEXT: dict[str, Any] = {
    **{"kind": "text", "file": "python.txt", "length": 16, "batch_size": 8},
    **{"train_windows": 40, "validation_windows": 12, "test_windows": 10},
}
GPT: dict[str, Any] = {"kind": "gpt", "width": 16, "depth": 2, "heads": 2, "dropout": 0.1}


def text(**options: Any) -> Text:
    return Text.parse({**TEXT, **options})


def spec_of(**changes: Any) -> dict[str, Any]:
    training = {"steps": 12, "seed": 3, **changes.pop("training", {})}
    parts = {"model": GPT, "dataset": TEXT, "optimizer": {"kind": "adamw", "lr": 0.01}}
    return {**parts, **changes, "training": training}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_text(tmp_path)
    return tmp_path


def loaded(data: Path, **options: Any) -> Dataset:
    return load(text(**options), data)


def test_facts_are_known_without_the_file() -> None:
    facts = DatasetFacts.of(text())

    assert facts.sizes == (40, 12, 10)
    assert facts.shape == (16,)
    assert (facts.target.task, facts.target.size, facts.target.longest) == (
        *("language_model", 256, 16),
    )
    others = (text(file="b.txt"), text(sha256="0" * 64), text(length=8), text(test_share=0.1))
    assert len({facts.digest, *(DatasetFacts.of(other).digest for other in others)}) == 5


def test_test_is_the_end_of_the_file_and_validation_stands_before_it(data: Path) -> None:
    content = (data / "text" / "python.txt").read_bytes()
    found = loaded(data, validation_share=0.2, test_share=0.1)
    parts = {"train": content[:70_000], "val": content[70_000:90_000], "test": content[90_000:]}

    assert isinstance(found.train, Windows)
    assert found.validation is not None
    assert bytes(found.train.tokens.tolist()) == parts["train"]
    for part, examples in ((parts["val"], found.validation), (parts["test"], found.test)):
        n = len(examples)
        starts = [i * (len(part) - 17) // (n - 1) for i in range(n)]
        assert [bytes(row) for row in examples.inputs.tolist()] == [
            part[start : start + 16] for start in starts
        ]
        assert [bytes(row) for row in examples.targets.tolist()] == [
            part[start + 1 : start + 17] for start in starts
        ]
    assert found.digest == hashlib.sha256(content).hexdigest()


def test_windows_that_just_fit_stand_side_by_side(tmp_path: Path) -> None:
    content = write_text(tmp_path, size=2 * 1601).read_bytes()

    found = loaded(tmp_path, test_share=0.5, test_windows=100, validation_windows=9)

    assert bytes(found.test.inputs.flatten().tolist()) == content[1601:-1]


def test_windows_depend_on_seed_epoch_and_number_alone() -> None:
    windows = Windows(torch.zeros(1000, dtype=torch.uint8), 16, 50)

    first = windows.random_starts(seed=3, epoch=2).tolist()

    words = np.random.Philox(key=[3, 2]).random_raw(50)
    assert first == [int(word) % (1000 - 16) for word in words]
    assert first[:20] == Windows(windows.tokens, 16, 20).random_starts(seed=3, epoch=2).tolist()
    assert first != windows.random_starts(seed=3, epoch=3).tolist()
    assert first != windows.random_starts(seed=4, epoch=2).tolist()


def test_every_place_may_be_the_start_of_a_window() -> None:
    windows = Windows(torch.arange(20, dtype=torch.uint8), 16, 200)

    found = windows.at(windows.random_starts(seed=1, epoch=0))

    assert set(found.inputs[:, 0].tolist()) == {0, 1, 2, 3}
    assert set(found.targets[:, -1].tolist()) == {16, 17, 18, 19}


def batches(data: Path, *, shuffle: bool) -> list[tuple[list[list[int]], list[list[int]]]]:
    run = Run.start(RunSpec.parse(spec_of(dataset={**TEXT, "shuffle": shuffle})), data_dir=data)
    served = [run.batches.next() for _ in range(10)]
    return [(inputs.tolist(), targets.tolist()) for inputs, targets in served]


def test_without_shuffle_every_epoch_has_the_same_windows_in_order(data: Path) -> None:
    content = (data / "text" / "python.txt").read_bytes()
    found = batches(data, shuffle=False)

    assert found[:5] == found[5:]
    starts = [i * (90_000 - 17) // 39 for i in range(40)]
    assert [bytes(row) for inputs, _ in found[:5] for row in inputs] == [
        content[start : start + 16] for start in starts
    ]


def test_with_shuffle_every_epoch_has_other_windows(data: Path) -> None:
    found = batches(data, shuffle=True)

    assert [len(inputs) for inputs, _ in found] == [8] * 10
    assert not any(inputs in [other for other, _ in found[5:]] for inputs, _ in found[:5])
    assert all(
        row[1:] == following[:-1]
        for inputs, targets in found
        for row, following in zip(inputs, targets, strict=True)
    )


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"file": "../etc/passwd"}, "file: file must match"),
    ({"file": ".hidden"}, "file: file must match"),
    ({"sha256": "abc"}, "sha256: sha256 must match"),
    (
        {"validation": 0.1},
        "validation must be null for text, which has validation_windows of their own, got 0.1",
    ),
    (
        {"validation_windows": 0},
        "validation_share and validation_windows must both be 0, or both be positive, got "
        "0.05 and 0",
    ),
    (
        {"validation_share": 0.6, "test_share": 0.4},
        "test_share must leave a part for training, got 0.4 with validation_share 0.6",
    ),
    (
        {"length": 65_536, "test_windows": 1000},
        "test_windows and validation_windows must have at most 33554432 bytes together, got",
    ),
    ({"batch_size": 41}, "batch_size must be at most 40, the number of training examples"),
]


@pytest.mark.parametrize(("options", "message"), ERRORS, ids=str)
def test_what_does_not_fit_together_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        text(**options)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"text/python.txt does not exist; put a text file"):
        loaded(tmp_path)


def test_a_file_with_another_digest_is_refused(data: Path) -> None:
    content = (data / "text" / "python.txt").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert loaded(data, sha256=digest).digest == digest

    with pytest.raises(DatasetMissing, match=f"must have SHA-256 0000.*, got {digest}; replace"):
        loaded(data, sha256="0" * 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"test_windows": 313},
            "the test part of python.txt must have at least 5009 bytes (313 windows of 16 bytes, "
            "and one more byte), got 5000 (0.05 of 100000 bytes); use a longer text, fewer windows "
            "or another share",
        ),
        (
            {"validation_windows": 313},
            "validation part of python.txt must have at least 5009 bytes",
        ),
        (
            {"length": 20_000, "test_share": 0.4, "validation_share": 0.5}
            | {"test_windows": 1, "validation_windows": 2},
            "training part of python.txt must have at least 20001 bytes (1 windows of 20000 bytes, "
            "and one more byte), got 10000",
        ),
    ],
    ids=str,
)
def test_a_text_that_is_too_short_is_refused(
    data: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DatasetMissing, match=re.escape(message)):
        loaded(data, **options)


def test_a_run_without_validation_evaluates_once(data: Path) -> None:
    dataset = {**TEXT, "validation_windows": 0, "validation_share": 0}
    run = Run.start(RunSpec.parse(spec_of(dataset=dataset)), data_dir=data)

    (evaluation,) = [report for report in train(run) if isinstance(report, Evaluation)]

    assert run.dataset.validation is None
    assert {name.partition("_")[0] for name in evaluation.metrics} == {"test"}


def test_bits_per_byte_are_the_loss_in_bits_whatever_the_batches(data: Path) -> None:
    dataset = {**TEXT, "length": 64, "test_share": 0.4, "test_windows": 600}
    run = Run.start(RunSpec.parse(spec_of(dataset=dataset)), data_dir=data)

    reports = list(train(run))

    losses = [report.loss for report in reports if isinstance(report, StepReport)]
    found = [report for report in reports if isinstance(report, Evaluation)][-1].metrics
    assert losses[-1] < losses[0]
    # 600 windows are three batches of an evaluation.
    with torch.no_grad():
        logits = run.model.eval()(run.dataset.test.inputs).double().flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, run.dataset.test.targets.flatten()).item()
    assert found["test_loss"] == pytest.approx(loss, rel=1e-6)
    assert found["test_bits_per_byte"] == pytest.approx(loss / math.log(2), rel=1e-6)
    assert found["test_perplexity"] == pytest.approx(math.exp(loss), rel=1e-6)


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Set what a trainer sets, which is part of the fingerprint."""
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


LAYERS: list[dict[str, Any]] = [
    {"kind": "embedding", "num_embeddings": 256, "embedding_dim": 8, "sparse": True},
    {"kind": "gru", "hidden_size": 8, "num_layers": 2, "init": "orthogonal"},
    {"kind": "transformer_encoder_layer", "nhead": 2, "dim_feedforward": 8, "causal": True},
    {"kind": "linear", "out_features": 256},
]
RESUMED = {
    "gpt": spec_of(),
    "gpt, rotary, muon": spec_of(
        model={**GPT, "positions": "rotary", "tie_embeddings": False},
        optimizer={"kind": "muon", "lr": 0.01, "exclude": ["tokens.*", "head.*"]},
    ),
    "sparse": spec_of(
        model={"kind": "sequential", "layers": LAYERS}, optimizer={"kind": "lazy_adam"}
    ),
    "accumulated": spec_of(training={"accumulate": 2}),
}


@pytest.mark.usefixtures("deterministic")
def test_a_run_resumed_in_another_process_is_the_same_run(data: Path) -> None:
    cases, whole = [], []
    for name, spec in RESUMED.items():
        files = Files(data / name)
        run, saved = Run.start(RunSpec.parse(spec), data_dir=data), None
        for _ in train(run):
            if run.row == 7 and run.settled and saved is None:  # within the second epoch
                saved = checkpoint.save(run, files)
        assert saved is not None
        folder = {"folder": str(data / name), "data_dir": str(data)}
        cases.append({"spec": spec, "checkpoint": saved.path, "sha256": saved.sha256, **folder})
        again = finish(Run.start(RunSpec.parse(spec), data_dir=data))
        whole.append({**again, "rows": again["rows"][saved.step :]})
    (data / "cases.json").write_text(json.dumps(cases))

    module = "tests.support.optcore.runs.continuing"
    command = [sys.executable, "-m", module, str(data / "cases.json"), str(data / "found.json")]
    subprocess.run(command, check=True)

    assert json.loads((data / "found.json").read_text()) == whole


def test_a_run_is_not_continued_with_another_text(data: Path) -> None:
    files, spec = Files(data / "files"), RunSpec.parse(spec_of())
    run = Run.start(spec, data_dir=data)
    before = run.facts()["data"]
    saved = checkpoint.save(run, files)
    path = data / "text" / "python.txt"
    path.write_bytes(path.read_bytes().upper())
    other = Run.start(spec, data_dir=data)

    message = (
        f"the file of dataset text must be the one that the run began with (SHA-256 {before}), got "
        f"SHA-256 {other.facts()['data']}; put that file back"
    )
    for exact in (True, False):
        with pytest.raises(DatasetMissing, match=re.escape(message)):
            checkpoint.restore(other, files, saved.path, exact=exact)


def test_release_0_2_0_does_not_compute_such_a_run() -> None:
    assert not is_former(RunSpec.parse(spec_of(model={**GPT, "dropout": 0.0})))
    layer = {"kind": "linear", "out_features": 10}
    digits = {"optimizer": {"kind": "sgd", "lr": 0.1}, "dataset": {"kind": "digits"}}
    for init, former in (({}, True), ({"init": "zeros"}, False)):
        layers = [{"kind": "flatten"}, {**layer, **init}]
        run = spec_of(model={"kind": "sequential", "layers": layers}, **digits)
        assert is_former(RunSpec.parse(run)) is former
