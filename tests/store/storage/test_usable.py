"""Whether a storage can be used, and whose it is: its name is on disk, or there is none."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from store.redis import keys
from store.storage.names import STORE
from store.storage.storage import Storage
from store.storage.usable import StorageAway, require_usable


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def full(after: int) -> Callable[[int], None]:
    """Return an fsync that finds the disk full at call *after*, and works before and since."""
    calls = iter(range(1_000_000))
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if next(calls) == after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    return fsync


def name_of(client: redis.Redis) -> bytes:
    name = client.get(keys.STORE_ID)
    assert isinstance(name, bytes)
    return name


def test_a_storage_becomes_that_of_the_store_that_first_uses_it(
    client: redis.Redis, storage: Storage
) -> None:
    assert require_usable(client, storage)
    assert (storage.root / STORE).read_bytes() == name_of(client)
    assert [path.name for path in storage.root.iterdir()] == [STORE]


@pytest.mark.parametrize("call", [0, 1, 2, 3])
def test_a_storage_that_fills_up_while_it_is_named_has_its_name_or_none(
    client: redis.Redis, storage: Storage, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full(call))
        require_usable(client, storage)
    kept = [path.read_bytes() for path in storage.root.iterdir()]

    assert kept in ([], [name_of(client)])
    assert require_usable(client, storage)
    assert (storage.root / STORE).read_bytes() == name_of(client)


def test_a_full_storage_is_still_its_stores(
    client: redis.Redis, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_usable(client, storage)
    monkeypatch.setattr(os, "fsync", full(0))

    assert require_usable(client, storage)


def test_an_empty_name_is_healed(client: redis.Redis, storage: Storage) -> None:
    (storage.root / STORE).touch()

    assert require_usable(client, storage)
    assert (storage.root / STORE).read_bytes() == name_of(client)


def test_a_storage_of_another_store_stays_that(client: redis.Redis, storage: Storage) -> None:
    (storage.root / STORE).write_text("another")

    assert not require_usable(client, storage)
    assert (storage.root / STORE).read_text() == "another"


def test_a_storage_without_the_name_it_had_is_away(client: redis.Redis, storage: Storage) -> None:
    require_usable(client, storage)
    (storage.root / STORE).unlink()

    with pytest.raises(
        StorageAway, match="the file 'store', which this service wrote to the storage, is missing"
    ):
        require_usable(client, storage)

    assert list(storage.root.iterdir()) == []
