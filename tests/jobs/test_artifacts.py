"""Files of jobs below the storage root."""

from pathlib import Path

from jobs.artifacts import Storage


def test_a_sweep_leaves_what_is_needed_and_what_later_attempts_made(tmp_path: Path) -> None:
    """An attempt that was suspended may wake up when its job is somebody else's."""
    storage = Storage(tmp_path)
    attempts = [storage.attempt_folder("local", "job_1", i, f"token{i:03d}") for i in (1, 2, 10)]
    paths = [attempt / "checkpoints" / f"step-{step}" for attempt in attempts for step in (1, 2)]
    for path in paths:
        path.mkdir(parents=True)

    storage.sweep_checkpoints(attempts[1], [storage.relative(paths[1])])

    assert [path.exists() for path in paths] == [False, True, False, False, True, True]
