"""Immutable files by name."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from optcore.files.files import Files, StoredFile
from optcore.files.integrity import Damaged

CONTENT = bytes(range(256)) * 9


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_file_is_described_when_it_is_written_and_later(files: Files) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    expected = StoredFile("jobs/a/rows", sha256, len(CONTENT))

    with files.create("jobs/a/rows") as new:
        for i in range(9):
            new.write(CONTENT[256 * i : 256 * (i + 1)])

    assert new.stored == files.describe("jobs/a/rows") == expected
    assert files.read("jobs/a/rows", sha256=sha256) == CONTENT


def test_a_name_is_used_once(files: Files) -> None:
    files.put("a/b", b"first")

    with pytest.raises(FileExistsError):
        files.put("a/b", b"second")

    assert files.read("a/b") == b"first"


def test_a_file_whose_writing_fails_is_not_there(files: Files) -> None:
    def write() -> None:
        with files.create("a/b") as new:
            new.write(b"half")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        write()

    assert files.entries("a") == []
    assert files.put("a/b", b"again").size == 5


@pytest.mark.parametrize("call", range(5))
def test_a_file_that_cannot_be_put_on_disk_is_an_error(
    files: Files, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Its own content, and the entries of its folder and of those above."""
    monkeypatch.setattr(os, "fsync", full(call))

    if call < 4:
        with pytest.raises(OSError, match="No space left"):
            files.put("jobs/a/b", CONTENT)
    else:
        files.put("jobs/a/b", CONTENT)


def full(after: int) -> Callable[[int], None]:
    """Return an fsync that finds the disk full at call *after*, and works before and since."""
    calls, real = iter(range(1_000_000)), os.fsync

    def fsync(descriptor: int) -> None:
        if next(calls) == after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    return fsync


def test_a_folder_of_files_waits_for_the_disk_once_for_each_file_and_twice_for_its_names(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint lies seven folders deep: to sync all of them after each file takes 24 calls."""
    fill(files, "jobs/local/a/1/checkpoints/step-1")
    synced = noted_syncs(monkeypatch)

    fill(files, "jobs/local/a/1/checkpoints/step-2")

    folder = files.root / "jobs/local/a/1/checkpoints"
    inside = [folder / "step-2" / name for name in ("0", "1", "2")]
    assert synced == [*inside, folder / "step-2", folder]


@pytest.mark.parametrize(
    "delete", [Files.delete, lambda files, name: shutil.rmtree(files.root / name)]
)
def test_a_folder_that_was_deleted_and_is_made_again_is_synced_up_to_the_root(
    files: Files, monkeypatch: pytest.MonkeyPatch, delete: Callable[[Files, str], None]
) -> None:
    files.put("jobs/a/b/c", CONTENT)
    delete(files, "jobs/a")
    synced = noted_syncs(monkeypatch)

    files.put("jobs/a/b/c", CONTENT)

    folders = ("jobs/a/b", "jobs/a", "jobs")
    assert synced == [files.root / name for name in ("jobs/a/b/c", *folders)]


def test_a_folder_whose_filling_fails_is_not_there(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full(2))

    with pytest.raises(OSError, match="No space left"):
        fill(files, "a/b")

    assert files.entries("a") == []
    fill(files, "a/b")
    with pytest.raises(FileExistsError):
        fill(files, "a/b")
    assert files.entries("a/b") == ["a/b/0", "a/b/1", "a/b/2"]


def fill(files: Files, folder: str) -> None:
    with files.create_folder(folder) as new:
        for i in range(3):
            new.put(str(i), CONTENT)


def noted_syncs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list of what is put on disk from now on, in order."""
    # Patched, as in `full`: only the system call tells which files and folders are waited for.
    noted, real = [], os.fsync

    def fsync(descriptor: int) -> None:
        noted.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return noted


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT[:-1] + b"x"])
def test_damage_is_found_by_reading_and_by_copying(files: Files, damage: bytes) -> None:
    stored = files.put("a/rows", CONTENT)
    (files.root / "a/rows").write_bytes(damage)
    message = f"rows must have SHA-256 {stored.sha256}, got "

    with pytest.raises(Damaged, match=message):
        files.read("a/rows", sha256=stored.sha256)
    with pytest.raises(Damaged, match=message):
        files.copy("a/rows", "b/rows", sha256=stored.sha256)
    assert files.entries("b") == []


def test_a_copy_is_a_file_of_its_own(files: Files) -> None:
    stored = files.put("a/rows", CONTENT)

    copied = files.copy("a/rows", "b/rows", sha256=stored.sha256)
    files.delete("a")

    assert copied == StoredFile("b/rows", stored.sha256, stored.size)
    assert files.read("b/rows") == CONTENT


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "link/a"])
def test_a_name_never_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    files = Files(tmp_path / "root")

    for use in (files.read, files.delete, files.local, lambda name: files.put(name, b"")):
        with pytest.raises(ValueError, match="a path must lie below the storage root, got"):
            use(name)


def test_the_root_may_be_a_link_that_is_changed_while_it_is_used(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
    root = tmp_path / "root"
    root.symlink_to("old")
    files = Files(root)
    files.put("a", CONTENT)

    root.unlink()
    root.symlink_to("new")
    files.put("b", CONTENT)

    assert (tmp_path / "new" / "b").read_bytes() == CONTENT
    assert files.entries("") == ["b"]


def test_what_is_not_there_has_no_entries_and_no_size_and_can_be_deleted(files: Files) -> None:
    assert (files.entries("a"), files.size("a"), files.measure("a")) == ([], None, 0)
    assert not files.is_file("a")
    files.delete("a")


@pytest.mark.parametrize(("error", "measured"), [(errno.ENOENT, len(CONTENT)), (errno.EIO, None)])
def test_a_file_that_cannot_be_measured_does_not_count_as_empty(
    files: Files, monkeypatch: pytest.MonkeyPatch, error: int, measured: int | None
) -> None:
    """One that was deleted meanwhile does."""
    for name in ("a/b", "a/odd"):
        files.put(name, CONTENT)
    stat = Path.stat

    def failing(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "odd":
            raise OSError(error, os.strerror(error), str(path))
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", failing)

    if measured is None:
        with pytest.raises(OSError, match=os.strerror(error)):
            files.measure("a")
    else:
        assert files.measure("a") == measured


@pytest.mark.parametrize(("error", "measured"), [(errno.ENOENT, len(CONTENT)), (errno.EIO, None)])
def test_a_folder_that_cannot_be_read_does_not_count_as_empty(
    files: Files, monkeypatch: pytest.MonkeyPatch, error: int, measured: int | None
) -> None:
    """One that was deleted meanwhile does."""
    for name in ("a/b", "a/odd/c"):
        files.put(name, CONTENT)
    scandir = os.scandir

    def failing(path: str | Path) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "odd":
            raise OSError(error, os.strerror(error), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)

    if measured is None:
        with pytest.raises(OSError, match=os.strerror(error)):
            files.measure("a")
    else:
        assert files.measure("a") == measured


def test_a_folder_is_deleted_with_all_in_it(files: Files) -> None:
    for name in ("a/b/c", "a/d", "e"):
        files.put(name, CONTENT)

    assert files.entries("") == ["a", "e"]
    assert files.entries("a") == ["a/b", "a/d"]
    assert files.measure("a") == 2 * len(CONTENT)
    files.delete("a")

    assert files.entries("") == ["e"]
