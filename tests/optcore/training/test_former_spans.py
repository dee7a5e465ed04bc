"""Runs that began before ranges ended on 128 bytes continue with the ranges of before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.spec.former.runs import is_former
from optcore.spec.former.translation import former_rules
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.fingerprint import fingerprint
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.small import start, steps

MADGRAD: dict[str, Any] = {
    "optimizer": {"kind": "madgrad", "lr": 0.01},
    "model": {"kind": "mlp", "hidden": [13]},
}
"""A run that 0.2.0 does not know, and whose last elements depend on where its ranges end."""


def begun_before(**changes: Any) -> Run:
    run = start(**changes)
    run.adopt({name: fact for name, fact in run.facts().items() if name != "spans"})
    return run


def first(run: Run, count: int) -> list[StepReport]:
    found: list[StepReport] = []
    for report in train(run):
        found += [report] if isinstance(report, StepReport) else []
        if len(found) == count:
            break
    return found


def test_only_runs_that_0_2_0_never_continues_have_ranges_that_end_on_128_bytes() -> None:
    later, plain = start(**MADGRAD), start()
    with former_rules():
        accepted = start(validation=0.1)
    lbfgs = start(optimizer={"kind": "lbfgs"}, schedule={"kind": "constant"}, validation=0.1)
    chosen = start(validation=0.1)

    assert [run.facts().get("spans") for run in (later, chosen)] == ["aligned"] * 2
    assert [run.facts().get("spans") for run in (plain, accepted, lbfgs)] == [None] * 3
    assert not is_former(later.spec)
    assert not is_former(chosen.spec)
    assert is_former(plain.spec)
    assert fingerprint(later.facts()) == fingerprint(plain.facts())


@pytest.mark.parametrize("precision", ["fp32", "bf16_true"])
def test_a_run_resumes_with_the_ranges_it_began_with(precision: str, tmp_path: Path) -> None:
    digests = []
    for begin in (start, begun_before):
        whole = begin(**MADGRAD, precision=precision)
        rows = steps(whole)
        left = begin(**MADGRAD, precision=precision)
        known = first(left, 7)
        saved = checkpoint.save(left, Files(tmp_path), begin.__name__)

        resumed = start(**MADGRAD, precision=precision)
        facts = checkpoint.restore(resumed, Files(tmp_path), saved.path)

        assert known + steps(resumed) == rows
        assert digest(resumed.tensors()) == digest(whole.tensors())
        assert ("spans" in facts["facts"]) == (begin is start)
        assert resumed.optimizer.aligned == (begin is start)
        digests.append(digest(whole.tensors()))
    if torch.backends.cpu.get_cpu_capability() == "AVX512" and precision == "bf16_true":
        assert digests[0] != digests[1]  # so the two have been compared


@pytest.mark.parametrize("kind", ["sgd", "momentum", "nesterov"])
def test_0_2_0_is_not_to_train_16_bit_models_with_torchs_sgd(kind: str) -> None:
    for engine, precision, same in (
        ("auto", "bf16_true", False),
        ("fused", "fp16_true", False),
        ("eager", "bf16_true", True),
        ("auto", "fp32", True),
    ):
        optimizer = {"kind": kind, "lr": 0.1, "engine": engine}
        assert is_former(start(optimizer=optimizer, precision=precision).spec) is same
