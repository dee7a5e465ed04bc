"""
Every schedule and dialect against values recorded from the frameworks themselves.

`GOLDEN_DIR` names another folder of recorded values: other parameters of the same classes.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import optcore
from optcore.schedules.make import MetricDrivenSchedule
from optcore.spec.errors import SpecError
from tests.support.optcore.goldens import GOLDEN_DIR
from tests.support.optcore.recorded_schedules import Recorded, recorded
from tests.support.optcore.schedule_words import momentum_of

RECORDED = {
    "keras": 13,
    "mindspore": 50,
    "optax": 72,
    "paddle": 58,
    "paddleocr": 32,
    "tf1": 48,
    "timm": 67,
    "torch": 25,
    "transformers": 55,
}
"""Cases per framework in the folder that comes with the tests."""
RTOL = {"float32": 2e-7, "float64": 1e-12}
ROUNDING = {"float32": 2.0**-24, "float64": 1e-14}
"""What may be lost, of the largest value: one rounding of a float32, and what frameworks lose that
compute a float64 from its last value (Paddle's two forms of one cosine differ by 8e-15)."""
EXCEPTIONS_AT_MOST = 0.03


class Excepted(NamedTuple):
    """A rule for cases that the public spec cannot express."""

    framework: str
    schedule: str
    condition: Callable[[dict[str, Any]], bool]
    reason: str


EXCEPTIONS: list[Excepted] = []
"""There are none: every recorded case is expressed, and met."""


ALL = recorded()


def exception_for(one: Recorded) -> Excepted | None:
    for rule in EXCEPTIONS:
        known = (rule.framework, rule.schedule) == (one.framework, one.case["schedule"])
        if known and rule.condition(one.case["params"]):
            return rule
    return None


def params(having: Callable[[Recorded], bool]) -> pytest.MarkDecorator:
    chosen = [one for one in ALL if having(one) and exception_for(one) is None]
    return pytest.mark.parametrize("one", chosen, ids=lambda one: str(one.case["id"]))


@params(lambda one: "lr" in one.case and not one.follows_metric)
def test_lr_is_the_frameworks_own_at_every_step(one: Recorded) -> None:
    schedule = one.make()

    close(schedule(np.arange(len(one.lr))), one.lr, one.precision)


@params(lambda one: one.follows_metric)
def test_a_metric_driven_lr_is_the_frameworks_own(one: Recorded) -> None:
    schedule = one.make()
    assert isinstance(schedule, MetricDrivenSchedule)
    n, lrs = one.per_metric, [schedule(0)]

    for t in range(1, len(one.lr)):
        if t % n == 0:
            schedule.observe(one.case["metrics"][t // n - 1])
        lrs.append(schedule(t))

    close(np.asarray(lrs), one.lr, one.precision)


@params(lambda one: one.follows_metric)
def test_a_resumed_metric_driven_schedule_gives_the_same_lrs(one: Recorded) -> None:
    schedule = one.make()
    last = len(one.lr) - 1
    for metric in one.case["metrics"][: last // one.per_metric]:
        schedule.observe(metric)
        resumed = one.make()
        resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
        schedule = resumed

    close(np.asarray([schedule(last)]), one.lr[-1:], one.precision)


@params(lambda one: "momentum" in one.case)
def test_schedules_of_momentum_are_the_same_functions(one: Recorded) -> None:
    steps = len(one.case["momentum"])
    params = {name: value for name, value in one.case["params"].items() if name != "lr"}
    found = momentum_of(one.case["schedule"], params, steps)

    schedule = optcore.make_schedule(found.spec, lr=found.lr, total_steps=steps)

    close(schedule(np.arange(steps)), np.asarray(one.case["momentum"]), "float64")


@params(lambda one: "raises" in one.case)
def test_a_run_that_the_framework_would_fail_in_is_refused(one: Recorded) -> None:
    fails_at = one.case["raises_at_step"]

    one.make(total_steps=fails_at)
    with pytest.raises(SpecError, match=r"length must (leave at most 1 of the|not be the l)"):
        one.make(total_steps=fails_at + 1)


@params(lambda one: "statistics" in one.case)
def test_noise_has_the_frameworks_mean_and_deviation(one: Recorded) -> None:
    expected, found = one.case["statistics"], one.translate()
    steps = np.asarray(expected["steps"])
    draws = np.stack(
        [
            optcore.make_schedule(
                {**found.spec, "seed": seed}, lr=found.lr, total_steps=int(steps.max()) + 1
            )(steps)
            for seed in range(2000)
        ]
    )

    deviation = np.asarray(expected["std"])
    error = deviation * np.sqrt(1 / len(draws) + 1 / expected["samples"])
    assert (np.abs(draws.mean(0) - expected["mean"]) <= 5 * error + 1e-9).all()
    np.testing.assert_allclose(draws.std(0), deviation, rtol=0.1, atol=1e-9)


def close(ours: NDArray[Any], theirs: NDArray[Any], precision: str) -> None:
    atol = ROUNDING[precision] * float(np.abs(theirs).max())
    np.testing.assert_allclose(ours, theirs, rtol=RTOL[precision], atol=atol)


def test_few_cases_are_excepted_and_every_rule_excepts_some(
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken = Counter(rule for one in ALL if (rule := exception_for(one)) is not None)

    with capsys.disabled():
        print(f"\n{len(ALL)} recorded schedules in {GOLDEN_DIR}, {taken.total()} excepted")  # noqa: T201
        for rule in EXCEPTIONS:
            print(f"{taken[rule]:4} {rule.framework} {rule.schedule}: {rule.reason}")  # noqa: T201
    assert taken.total() <= EXCEPTIONS_AT_MOST * len(ALL)
    if "GOLDEN_DIR" not in os.environ:
        assert set(taken) == set(EXCEPTIONS)


def test_every_recorded_case_is_compared() -> None:
    """A folder that was not found, or a loader that skips, would pass on nothing."""
    seen = Counter(one.framework for one in ALL)

    assert seen.total() > 0
    if "GOLDEN_DIR" not in os.environ:
        assert dict(seen) == RECORDED
