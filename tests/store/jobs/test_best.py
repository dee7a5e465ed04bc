"""The best state of a run: what the record points to, and which files that keeps."""

import pytest
import redis

from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.pointers import BestPointer, Pointer
from store.redis.functions import Fenced, Gap, send
from tests.support.store.protocol import append, begin, record_of, release, some_rows, submit


def best_kept(client: redis.Redis, held: Claim, step: int, value: float = 0.5) -> list[str]:
    call = calls.best_kept(
        held, step=step, path=f"best-{step}", sha256="s", metric="test_loss", value=value
    )
    return send(client, call)


def checkpointed(client: redis.Redis, held: Claim, step: int) -> list[str]:
    call = calls.checkpointed(held, step=step, path=f"step-{step}", sha256="s", digest="d")
    return send(client, call)


def running(client: redis.Redis, rows: int = 9) -> Claim:
    submit(client)
    held = begin(client)
    append(client, held, 0, some_rows(0, rows))
    return held


def test_the_last_call_counts_and_its_value_keeps_its_bits(client: redis.Redis) -> None:
    held = running(client)

    best_kept(client, held, 2, 0.3)
    best_kept(client, held, 5, 0.1 + 0.2)
    best_kept(client, held, 5, 0.1 + 0.2)

    record = record_of(client, held.job_id)
    assert record.best == BestPointer(5, "best-5", "s", "test_loss", 0.1 + 0.2)
    shown = record.job().best
    assert shown is not None
    assert (shown.step, shown.metric, shown.value) == (5, "test_loss", 0.1 + 0.2)


def test_it_is_never_ahead_of_the_rows_and_only_the_holders_to_say(client: redis.Redis) -> None:
    held = running(client)

    with pytest.raises(Gap):
        best_kept(client, held, 10)
    release(client, held)
    with pytest.raises(Fenced):
        best_kept(client, held, 5)

    assert record_of(client, held.job_id).best is None


def test_the_files_of_the_best_state_are_needed_as_long_as_it_is_the_best(
    client: redis.Redis,
) -> None:
    held = running(client)

    assert best_kept(client, held, 2) == ["best-2"]
    assert checkpointed(client, held, 3) == ["step-3", "best-2", "best-2"]
    assert best_kept(client, held, 4) == ["step-3", "best-2", "best-4"]
    for step in (5, 6, 7):
        needed = checkpointed(client, held, step)

    assert set(needed) == {"step-5", "step-6", "step-7", "best-4"}


def test_every_checkpoint_keeps_what_was_best_when_it_was_made(client: redis.Redis) -> None:
    """Going on from it with other bits, the run may never be as good as that again."""
    held = running(client)
    best_kept(client, held, 2)
    checkpointed(client, held, 4)
    best_kept(client, held, 6)
    release(client, held)

    send(client, calls.accept("local", held.job_id))

    record = record_of(client, held.job_id)
    assert record.best == BestPointer(2, "best-2", "s", "test_loss", 0.5)
    again = begin(client, "t2", fingerprint="f2")
    append(client, again, 4, some_rows(20, 5))
    assert set(best_kept(client, again, 7)) == {"step-4", "best-2", "best-7"}


def test_a_restarted_job_has_no_best_state(client: redis.Redis) -> None:
    held = running(client)
    best_kept(client, held, 2)
    release(client, held)

    send(client, calls.restart("local", held.job_id))

    assert record_of(client, held.job_id).best is None


def test_what_is_kept_is_each_step_once(client: redis.Redis) -> None:
    held = running(client)
    for step in (3, 6):
        checkpointed(client, held, step)
    best_kept(client, held, 3)
    assert [kept.path for kept in record_of(client, held.job_id).retained()] == ["step-3", "step-6"]

    best_kept(client, held, 5)

    assert record_of(client, held.job_id).retained() == [
        Pointer(3, "step-3", "s"),
        Pointer(5, "best-5", "s"),
        Pointer(6, "step-6", "s"),
    ]
