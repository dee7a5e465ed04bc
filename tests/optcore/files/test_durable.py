"""Files that are replaced: the old content or the new one, and nothing beside it."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from optcore.files.durable import replace, write_once


def test_a_neighbour_named_like_a_temporary_file_is_left_alone(
    tmp_path: Path,
) -> None:
    target, neighbour = tmp_path / "rows.csv", tmp_path / "rows.csv.part"
    neighbour.write_text("another program's")

    replace(target, [b"step,", b"lr"])

    assert target.read_text() == "step,lr"
    assert neighbour.read_text() == "another program's"
    assert sorted(tmp_path.iterdir()) == [target, neighbour]


def test_two_writers_of_one_path_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"

    def parts() -> Iterator[bytes]:
        yield b"begun before, "
        replace(target, [b"written meanwhile"])
        assert target.read_text() == "written meanwhile"
        yield b"ended after"

    replace(target, parts())

    assert target.read_text() == "begun before, ended after"
    assert list(tmp_path.iterdir()) == [target]


def test_a_write_that_fails_leaves_the_file_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("before")

    def parts() -> Iterator[bytes]:
        yield b"begun"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        replace(target, parts())

    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_permissions_are_those_asked_for_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        replace(tmp_path / "shared", [b"a"], mode=0o444)
        replace(tmp_path / "own", [b"a"])
    finally:
        os.umask(before)

    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("shared", "own")]
    assert modes == [0o444, 0o600]


def test_of_many_writers_one_is_first_and_its_content_stays(tmp_path: Path) -> None:
    target, barrier = tmp_path / "store", threading.Barrier(8)
    seen: list[bytes] = []

    def write(content: bytes) -> None:
        barrier.wait()
        write_once(target, content)
        seen.append(target.read_bytes())

    threads = [threading.Thread(target=write, args=(bytes([65 + i]) * 32,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 8
    assert len({target.read_bytes(), *seen}) == 1
    assert list(tmp_path.iterdir()) == [target]


def test_an_empty_file_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "store").touch()

    write_once(tmp_path / "store", b"a name")

    assert (tmp_path / "store").read_bytes() == b"a name"
