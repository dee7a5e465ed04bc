"""Files of jobs below the storage root."""

from pathlib import Path

import pytest

from store.storage.names import attempt_folder, job_folder
from store.storage.storage import Storage


def there(storage: Storage, folder: str) -> bool:
    return bool(storage.entries(folder))


def test_a_sweep_leaves_what_is_needed_and_what_later_attempts_made(tmp_path: Path) -> None:
    """An attempt that was suspended may wake up when its job is somebody else's."""
    storage = Storage(tmp_path)
    attempts = [attempt_folder("local", "job_1", i, f"token{i:03d}") for i in (1, 2, 10)]
    states = [f"{attempt}/checkpoints/step-{step}" for attempt in attempts for step in (1, 2)]
    for state in states:
        storage.put(f"{state}/state.json", b"{}")

    storage.delete_checkpoints(attempts[1], [states[1]])

    assert [there(storage, state) for state in states] == [False, True, False, False, True, True]


def test_a_sweep_keeps_the_best_state_and_what_it_lies_in(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    attempts = [attempt_folder("local", "job_1", i, f"token{i:03d}") for i in (1, 2)]
    states = [f"{attempt}/best/step-{step}" for attempt in attempts for step in (1, 2)]
    for state in states:
        storage.put(f"{state}/state.json", b"{}")

    storage.delete_checkpoints(attempts[1], [states[0], f"{states[3]}/model.safetensors"])

    assert [there(storage, state) for state in states] == [True, False, False, True]


def test_the_size_is_that_of_all_files_or_unknown(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    (tmp_path / "step-1").mkdir()
    for name, size in (("a", 3), ("b", 40)):
        (tmp_path / "step-1" / name).write_bytes(bytes(size))

    assert storage.size("step-1") == 43
    assert storage.size("step-1/b") == 40
    assert storage.size("step-2") is None


def test_a_folder_that_cannot_be_looked_at_is_not_called_old(tmp_path: Path) -> None:
    """Files that nobody has written to for an hour are removed: an error is no such hour."""
    storage = Storage(tmp_path)

    with pytest.raises(FileNotFoundError):
        storage.idle_s(job_folder("local", "job_1"))
