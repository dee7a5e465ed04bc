"""Whatever the network loses between us and the store, everything happens once."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from optserve.contract.requests.job import JobSpec
from optserve.contract.states import State
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.series import PLAIN
from store.redis import keys
from store.redis.functions import UNAVAILABLE, send
from tests.support.store.lossy import LossyNetwork
from tests.support.store.protocol import LEASE_MS, SPEC, kinds, record_of, rows_of, some_rows
from worker.reporting.retry import RetryingSender

pytestmark = pytest.mark.long

T = TypeVar("T")
SEED = 11


@pytest.fixture
def network(
    server: EmbeddedServer, client: redis.Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LossyNetwork]:
    """The way to the server of *client*, with one message in twenty-five in trouble."""
    del client  # empties it
    folder = tmp_path_factory.mktemp("n")
    with LossyNetwork(server.url.removeprefix("unix://"), folder, seed=SEED, rate=0.01) as found:
        yield found


@pytest.fixture
def lossy(network: LossyNetwork) -> Iterator[redis.Redis]:
    """A client behind that network, which does not retry by itself."""
    with redis.from_url(network.url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        yield client


def until_answered(work: Callable[[], T]) -> T:
    """Return what *work* says, asked again as often as the answer is lost."""
    for _ in range(100):
        try:
            return work()
        except UNAVAILABLE:
            continue
    raise AssertionError("no answer in 100 tries")


@pytest.mark.parametrize("submissions", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_submissions_are_accepted_once(
    client: redis.Redis, lossy: redis.Redis, network: LossyNetwork, submissions: int
) -> None:
    """A client that asks again with its key has one job, whichever answer it missed."""
    spec, accepted = JobSpec.parse(SPEC), dict[str, str]()
    for i in range(submissions):
        key = f"key {i}"

        def submit(key: str = key) -> str:
            call = calls.submit(
                "local", new_id(), new_fields(spec), idempotency_key=key, body_sha="sha"
            )
            return send(lossy, call).record.id

        accepted[key] = until_answered(submit)

    members: Any = client.zrange(keys.JOBS % "local", 0, -1)
    ids = {member.decode() for member in members}
    assert len(set(accepted.values())) == submissions, f"seed {SEED}"
    assert ids == set(accepted.values()), f"seed {SEED}"
    assert min(network.faults.values()) > 0, network.faults


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("jobs", "steps"), [(12, 60), pytest.param(100, 10_000, marks=pytest.mark.slow)]
)
def test_a_job_is_trained_once_whatever_is_lost(
    client: redis.Redis, lossy: redis.Redis, network: LossyNetwork, jobs: int, steps: int
) -> None:
    """Claims, rows, checkpoints, evaluations and endings: said until answered, done once."""
    patience, seen = RetryingSender(lossy, threading.Event()), list[str]()
    spec = JobSpec.parse({**SPEC, "training": {"steps": steps, "device": "cpu"}})
    for i in range(jobs):
        job_id = new_id()
        call = calls.submit("local", job_id, new_fields(spec), idempotency_key="", body_sha="s")
        patience.send(call)
        hello = calls.hello(
            "w1", ttl_ms=60_000, claim=None, device="cpu", fingerprint="f1", host="here", pid=1
        )
        patience.send(hello)
        record = patience.send(
            calls.claim("w1", device="cpu", fingerprint="f1", token=f"t{i}", lease_ms=LEASE_MS)
        )
        assert record is not None
        assert record.id == job_id
        held = Claim("local", job_id, f"t{i}")
        patience.send(calls.begun(held, fingerprint="f1", facts={}))
        _train(patience, held, steps)
        seen.append(job_id)

    for job_id in seen:
        record = record_of(client, job_id)
        assert record.state is State.SUCCEEDED, f"seed {SEED}"
        assert record.attempt == 1, f"seed {SEED}"
        assert rows_of(client, job_id) == some_rows(0, steps), f"seed {SEED}"
        expected = ["submitted", "started", *["evaluated", "checkpointed"] * 6, "succeeded"]
        assert kinds(client, job_id) == expected, f"seed {SEED}"
    assert network.faults["reply lost"] > 0, network.faults


def _train(patience: RetryingSender, held: Claim, steps: int) -> None:
    """Report *steps* in twelve parts, with a look and a checkpoint after every second one."""
    part = -(-steps // 12)
    for first in range(0, steps, part):
        count = min(part, steps - first)
        data = PLAIN.pack(some_rows(first, count))
        patience.send(
            calls.append(held, first=first, width=PLAIN.width, data=data, lease_ms=LEASE_MS)
        )
        patience.send(calls.renew(held, lease_ms=LEASE_MS))
        if first // part % 2:
            step = first + count
            patience.send(calls.evaluated(held, step=step, data={"step": step, "loss": 1.0}))
            patience.send(
                calls.checkpointed(held, step=step, path=f"p{step}", sha256="s", digest="d")
            )
    patience.send(calls.finish(held, rows=steps, digest="d", result={}, artifacts={}))
