"""Training that is held up, because the store is away until there is no room for more rows."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from optserve.client import Client
from optserve.contract.states import State
from optserve.local.stack import Stack
from tests.support.service.commands import optserve
from tests.support.service.jobs import SHORT, begun, finished
from tests.support.service.stacks import stack_with

STEP_LIMIT_S = 11.0
"""A little longer than a call waits for an answer."""
AWAY_S = 15.0
STEPS = 10_000
SPEC: dict[str, Any] = {
    **SHORT,
    "training": {"steps": STEPS, "seed": 5, "checkpoint_every": 9000, "evaluate_every": None},
}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose worker has room for the rows of a second or so."""
    with stack_with(
        tmp_path_factory.mktemp("narrow"),
        OPTSERVE_MAX_UNSTORED_BYTES="65536",
        OPTSERVE_STEP_LIMIT_S=f"{STEP_LIMIT_S}",
    ) as started:
        yield started


@pytest.mark.slow
def test_a_run_that_is_held_up_waits_is_not_taken_for_hung_and_says_so(narrow: Stack) -> None:
    with Client(narrow.url) as client:
        undisturbed = finished(client, client.submit(SPEC).id)
        job_id = client.submit(SPEC).id
        begun(client, job_id, steps=500)

        os.kill(narrow.processes()["server"], signal.SIGSTOP)
        time.sleep(AWAY_S)
        os.kill(narrow.processes()["server"], signal.SIGCONT)

        ended = finished(client, job_id)
        steps = [row.step for row in client.metrics(job_id)]
    shown = optserve("show", job_id, "--url", narrow.url, home=narrow.home).stdout
    assert (ended.state, ended.attempt, ended.digest) == (State.SUCCEEDED, 1, undisturbed.digest)
    assert steps == list(range(STEPS))
    assert undisturbed.stalled_s == 0
    assert 1 < ended.stalled_s < ended.trained_s
    assert f"stalled {ended.stalled_s:.1f} s, waiting for the store" in " ".join(shown.split())
