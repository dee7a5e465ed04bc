"""What the series of a running job takes in Redis."""

import pytest
import redis

from store.redis import keys
from tests.support.store.protocol import append, begin, record_of, some_rows, submit, trained_for

BYTES_A_STEP = 24


def series_bytes(client: redis.Redis, job_id: str) -> int:
    """Return the bytes of all keys of a job's series, as the server counts them."""
    names = [keys.ROWS % ("local", job_id, "*"), keys.MARKS % ("local", job_id)]
    found = [name for pattern in names for name in client.scan_iter(pattern, count=1000)]
    return sum(client.memory_usage(name) or 0 for name in found)


@pytest.mark.parametrize("at_once", [5, 100, 777])
@pytest.mark.parametrize("steps_per_s", [0.1, 10.0, 1000.0])
def test_a_step_of_two_columns_takes_at_most_24_bytes_while_the_job_runs(
    client: redis.Redis, at_once: int, steps_per_s: float
) -> None:
    job_id = submit(client)
    held = begin(client)
    client.config_set("appendfsync", "no")  # nothing is killed here, and there are many calls
    sizes = {}

    for first in range(0, 5000, at_once):
        trained_for(client, job_id, first / steps_per_s)
        append(client, held, first, some_rows(first, at_once))
        if first >= 100 - at_once:
            rows = record_of(client, job_id).rows
            sizes[rows] = series_bytes(client, job_id) / rows

    client.config_set("appendfsync", "always")
    assert min(sizes) >= 100
    assert {rows: size for rows, size in sizes.items() if size > BYTES_A_STEP} == {}
