"""The lease on a job: renewed as long as its run moves, by rows or by the thread."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from optcore.training.run import Run
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.jobs.calls import Claim
from store.redis import keys
from store.settings import Settings
from tests.support.store.protocol import SPEC, begin, submit
from tests.support.worker.sessions import session_of, train_session
from worker.attempt.lease import RENEWALS_PER_LEASE, Lease
from worker.reporting.cadence import POLL_S

LEASE_S = 3.0
TRAINING = {"steps": 8000, "device": "cpu", "evaluate_every": None, "checkpoint_every": None}


class NotingClient(redis.Redis):
    """A client that notes when it renews a lease by itself; rows do so with another call."""

    renewed: list[float]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Note it, and run it."""
        if args[0] == "FCALL" and str(args[1]).endswith("renew"):
            self.renewed.append(time.monotonic())
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


@pytest.fixture
def noting(server: EmbeddedServer, client: redis.Redis) -> NotingClient:
    """Beside *client*, which prepares the server."""
    pool = redis.ConnectionPool.from_url(server.url)
    noting = NotingClient(connection_pool=pool)
    noting.renewed = []
    return noting


def test_rows_renew_the_lease_in_place_of_the_thread(noting: NotingClient, tmp_path: Path) -> None:
    submit(noting, training=TRAINING)
    claim, settings = begin(noting), Settings(lease_s=LEASE_S)
    run = Run.start(JobSpec.parse({**SPEC, "training": TRAINING}).run_spec(), data_dir=tmp_path)

    with session_of(noting, claim, run, tmp_path, settings=settings) as session:
        began = time.monotonic()
        train_session(session, noting)
        ended = time.monotonic()
        session.reporter.flush()
        (until_ms,) = noting.zmscore(keys.LEASES, [f"{claim.tenant}/{claim.job_id}"])

    pause_s = LEASE_S / RENEWALS_PER_LEASE
    assert ended - began > 2 * pause_s, "too short to tell"
    # Until the first rows are known to be stored, the thread may.
    assert [at for at in noting.renewed if began + pause_s + 3 * POLL_S < at < ended] == []
    assert until_ms is not None
    assert until_ms / 1000 > time.time()


def test_the_thread_renews_the_lease_of_a_run_without_rows(noting: NotingClient) -> None:
    submit(noting)
    claim = begin(noting)

    with Lease(claim, noting, Settings(lease_s=LEASE_S)):
        time.sleep(LEASE_S / 2)

    assert len(noting.renewed) >= 2


def test_a_phase_ends_in_the_one_before_also_after_an_error(client: redis.Redis) -> None:
    lease = Lease(Claim("local", "job_1", "t"), client, Settings())
    seen = [lease._phase]

    with lease, lease.phase("step"):
        with suppress(ArithmeticError), lease.phase("store"):
            with lease.phase("checkpoint"):
                seen.append(lease._phase)
            seen.append(lease._phase)
            raise ArithmeticError
        seen.append(lease._phase)
    seen.append(lease._phase)

    assert seen == ["store", "checkpoint", "store", "step", "store"]
