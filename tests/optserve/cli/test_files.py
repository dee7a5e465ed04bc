"""Job files: errors in them are explained."""

import os
from pathlib import Path

import pytest

from optserve.cli.files import BadFile, read_object


def test_a_job_is_read_unchanged(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"optimizer": {"lr": 1e-3}}')

    assert read_object(tmp_path / "job.json") == {"optimizer": {"lr": 0.001}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must hold a job as JSON: Expecting property name"),
        (b"[]", r"must hold a job as a JSON object, got \[\]"),
        (b"\xff\xfe{}", "must hold a job as JSON: byte 0 is not UTF-8"),
        (b'{"lr": 1, "lr": 2}', "names must be unique in an object, got 'lr' twice"),
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
