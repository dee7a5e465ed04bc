"""Many clients of many jobs, some of them dead, as the benchmark of watchers runs them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import redis

from benchmarks.watchers import steps_wanted, submit
from benchmarks.watching.processes import process, tell
from tests.support.http.connections.dead_clients import dead, metric
from tests.support.machine.processes import eventually
from tests.support.machine.usage import rss
from tests.support.service.stacks import stack_with

DROPPED_S = 45


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_two_thousand_clients_the_dead_fifth_is_disconnected_and_memory_stays_level(
    tmp_path: Path,
) -> None:
    """With the limits as they are by default; 1,600 read 20 jobs of 100 steps a second each."""
    with (
        stack_with(tmp_path, workers=0) as running,
        redis.from_url(running.redis_url) as client,
    ):
        ids = [submit(client) for _ in range(20)]
        paths = [f"/v1/jobs/{job_id}/metrics/stream" for job_id in ids]
        api = running.processes()["api"]
        with (
            process("trainers", running.redis_url, *ids),
            process("clients", running.url, "1600", *paths) as readers,
        ):
            assert readers.stdout is not None
            readers.stdout.readline()
            with dead(running, ids, 200, after=0), dead(running, ids, 200, after=5000):
                tell(readers, "begin")
                eventually(lambda: metric(running, "optserve_streams") == 1600, within_s=DROPPED_S)
                before = rss(api)
                time.sleep(60)
                after = rss(api)
                tell(readers, "stop")
                found = json.loads(readers.stdout.readline())
            connections = client.info("clients")["connected_clients"]

    assert found["fewest"] >= steps_wanted(found)
    assert abs(after / before - 1) <= 0.05
    assert connections <= 32 + 8 + 20
