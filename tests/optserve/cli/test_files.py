"""Job files: errors in them are explained."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from optserve.cli.files import BadFile, read_object
from optserve.client.files import write_atomically


def test_a_job_is_read_unchanged(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"optimizer": {"lr": 1e-3}}')

    assert read_object(tmp_path / "job.json") == {"optimizer": {"lr": 0.001}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must hold a job as JSON: Expecting property name"),
        (b"[]", "must hold a job as a JSON object"),
        (b"\xff\xfe{}", "must hold a job as JSON: it is not UTF-8 at byte 0"),
        (b'{"lr": 1, "lr": 2}', "the name 'lr' must be used once in an object"),
        (b'{"lr": 1e999}', "numbers must be finite, got 1e999"),
        (b'{"a":' * 9999, "objects and lists must nest at most 32 deep"),
    ],
    ids=["broken", "a list", "UTF-16", "twice", "infinite", "deep"],
)
def test_a_file_without_a_job_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "job.json").write_bytes(content)

    with pytest.raises(BadFile, match=message):
        read_object(tmp_path / "job.json")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.json", "gone.json cannot be read: No such file or directory"),
        ("", "cannot be read: Is a directory"),
        ("a\0b", "cannot be read: embedded null byte"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(BadFile, match=message):
        read_object(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.touch(mode=0)

    with pytest.raises(BadFile, match="cannot be read: Permission denied"):
        read_object(file)


def test_a_neighbour_named_like_a_temporary_file_is_left_alone(
    tmp_path: Path,
) -> None:
    target, neighbour = tmp_path / "rows.csv", tmp_path / "rows.csv.part"
    neighbour.write_text("another program's")

    write_atomically(target, [b"step,", b"lr"])

    assert target.read_text() == "step,lr"
    assert neighbour.read_text() == "another program's"
    assert sorted(tmp_path.iterdir()) == [target, neighbour]


def test_two_writers_of_one_path_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"

    def parts() -> Iterator[bytes]:
        yield b"begun before, "
        write_atomically(target, [b"written meanwhile"])
        assert target.read_text() == "written meanwhile"
        yield b"ended after"

    write_atomically(target, parts())

    assert target.read_text() == "begun before, ended after"
    assert list(tmp_path.iterdir()) == [target]


def test_a_write_that_fails_leaves_the_file_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("before")

    def parts() -> Iterator[bytes]:
        yield b"begun"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_atomically(target, parts())

    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
