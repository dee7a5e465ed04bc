"""Which runs compute convolutions as sums of matrix products, and that they continue so."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.networks.taps import uses_taps
from optcore.spec.former.runs import is_former
from optcore.spec.former.translation import former_rules
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.fingerprint import fingerprint
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.small import start, steps

DEEP: dict[str, Any] = {
    "kind": "sequential",
    "layers": [
        {"kind": "conv2d", "out_channels": 64, "kernel_size": 8},
        {"kind": "relu"},
        {"kind": "conv2d", "out_channels": 64, "kernel_size": 3, "padding": 1},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 10},
    ],
}
"""A network whose second convolution has more weights than values: 64 x 64 x 9 for 1 pixel."""


def begin(**changes: Any) -> Run:
    return start(model=DEEP, validation=0.1, optimizer={"kind": "adam"}, **changes)


def begun_before(**changes: Any) -> Run:
    run = begin(**changes)
    run.adopt({name: fact for name, fact in run.facts().items() if name != "convolutions"})
    return run


def test_only_runs_that_0_2_0_never_continues_compute_products() -> None:
    later, plain, vectors = begin(), start(model=DEEP), start(validation=0.1)
    with former_rules():
        accepted = start(model=DEEP, validation=0.1)

    assert later.facts().get("convolutions") == "taps"
    assert [run.facts().get("convolutions") for run in (plain, accepted, vectors)] == [None] * 3
    assert is_former(plain.spec)
    assert not is_former(later.spec)
    assert fingerprint(later.facts()) == fingerprint(plain.facts())


@pytest.mark.parametrize("precision", ["fp64", "bf16_true"])
def test_only_float32_has_products(precision: str) -> None:
    assert not uses_taps(begin(precision=precision).model)


def test_autocast_computes_torchs_convolutions() -> None:
    run, other = begin(precision="bf16"), begun_before(precision="bf16")

    assert steps(run) == steps(other)
    assert digest(run.tensors()) == digest(other.tensors())


def test_a_run_continues_with_the_convolutions_it_began_with(tmp_path: Path) -> None:
    digests = []
    for make in (begin, begun_before):
        whole = make()
        rows = steps(whole)
        left = make()
        made = (report for report in train(left) if isinstance(report, StepReport))
        known = list(islice(made, 7))
        saved = checkpoint.save(left, Files(tmp_path), make.__name__)

        resumed = begin()
        facts = checkpoint.restore(resumed, Files(tmp_path), saved.path)

        assert known + steps(resumed) == rows
        assert digest(resumed.tensors()) == digest(whole.tensors())
        assert ("convolutions" in facts["facts"]) == (make is begin)
        assert uses_taps(resumed.model) == (make is begin)
        digests.append(digest(whole.tensors()))
    if torch.backends.mkldnn.is_available():
        assert digests[0] != digests[1]  # so the two have been compared


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_a_run_that_goes_on_without_onednn_has_no_products() -> None:
    facts = begin().facts()

    with torch.backends.mkldnn.flags(enabled=False):
        resumed = begin()
        resumed.adopt(facts)

        assert facts["convolutions"] == "taps"
        assert not uses_taps(resumed.model)
        assert "convolutions" not in resumed.facts()
