"""Job files: what is wrong with them is said in a sentence."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from optserve.cli.files import BadFile, read_object
from optserve.client.files import write_atomically


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
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
def test_a_file_that_holds_no_job_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
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
def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(BadFile, match=message):
        read_object(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.touch(mode=0)

    with pytest.raises(BadFile, match="cannot be read: Permission denied"):
        read_object(file)


def test_writing_a_file_leaves_one_that_is_called_like_its_draft(tmp_path: Path) -> None:
    target, neighbour = tmp_path / "rows.csv", tmp_path / "rows.csv.part"
    neighbour.write_text("somebody's own")

    write_atomically(target, [b"step,", b"lr"])

    assert target.read_text() == "step,lr"
    assert neighbour.read_text() == "somebody's own"
    assert sorted(tmp_path.iterdir()) == [target, neighbour]


def test_two_who_write_to_one_path_do_not_share_a_draft(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"

    def parts() -> Iterator[bytes]:
        yield b"begun before, "
        write_atomically(target, [b"written meanwhile"])
        assert target.read_text() == "written meanwhile"
        yield b"ended after"

    write_atomically(target, parts())

    assert target.read_text() == "begun before, ended after"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_was_not_written_whole_is_what_it_was(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("before")

    def parts() -> Iterator[bytes]:
        yield b"begun"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_atomically(target, parts())

    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
