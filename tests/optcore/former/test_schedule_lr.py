"""The lr of runs that release 0.2.0 accepted: it rounded every duration to whole steps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optcore.schedules.make import make_schedule, parse_schedule
from optcore.spec.duration import rounding
from optcore.spec.former.translation import former_rules

FILE = Path(__file__).parents[2] / "golden" / "schedule_lr_0_2_0.json"
RECORDED: dict[str, Any] = json.loads(FILE.read_text())
"""The JSON of specs as 0.2.0 stored them, many with fractions of epochs, and every 7th lr."""
SIZES = {name: RECORDED[name] for name in ("lr", "total_steps", "steps_per_epoch")}


@pytest.mark.parametrize("case", RECORDED["schedules"], ids=lambda case: str(case["spec"]["kind"]))
def test_rounded_durations_give_the_lr_of_0_2_0(case: dict[str, Any]) -> None:
    with former_rules():
        spec = parse_schedule(case["spec"])

    lrs = make_schedule(spec, **SIZES)(np.arange(SIZES["total_steps"]))

    # numpy's functions of float32 differ by a last bit between kinds of CPU.
    last_bit = 2**-23 * max(map(abs, case["values"]))
    rounding_of_cpus = last_bit if case["spec"].get("precision") == "float32" else 1e-300
    np.testing.assert_allclose(lrs[::7], case["values"], rtol=1e-9, atol=rounding_of_cpus)


def test_durations_of_today_are_not_rounded() -> None:
    spec = {"kind": "cosine", "length": {"epochs": 2.5}}
    with rounding():
        former = parse_schedule(spec)

    def last(given: Any) -> float:
        return float(make_schedule(given, lr=1.0, total_steps=9, steps_per_epoch=3)(7))

    assert last(former) == last({"kind": "cosine", "length": 8})
    assert last(spec) < last(former)
    assert former.model_dump() == parse_schedule(spec).model_dump()


@pytest.mark.parametrize("length", [50, 100, 219])
def test_a_cosine_warmup_has_the_bits_of_0_2_0(length: int) -> None:
    """A run that is resumed must compute the rows that it repeats with the same bits."""
    t = np.arange(length, dtype=np.float64)
    warmup = {"length": length, "start": 0.01, "shape": "cosine"}
    schedule = make_schedule({"kind": "constant", "warmup": warmup}, lr=0.8, total_steps=400)

    assert np.array_equal(
        schedule(np.arange(length)), 0.01 + (0.8 - 0.01) * (1 - np.cos(np.pi * t / length)) / 2
    )
