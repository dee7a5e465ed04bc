"""Storage of immutable named files below one root folder."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from optcore.files.durable import sync_folder
from optcore.files.integrity import require_sha256

PROBE = ".probe-"
"""Prefix of the names of files that are written only to test that files can be written."""
PART = 1 << 20
"""Size of a part in bytes, when a file is read in parts."""
MAX_SYNCED = 10_000
"""Maximum number of folders remembered as synced. Beyond this number, all are forgotten."""


@dataclass(frozen=True)
class StoredFile:
    """
    The name, SHA-256 and size of a file that was written.

    Attributes:
        path: the name of the file, relative to the root.
        sha256: the SHA-256 of the file's content.
        size: the size of the file in bytes.
    """

    path: str
    sha256: str
    size: int


class NewFile:
    """
    A file that is being written.

    Args:
        path: the name of the file, relative to the root.
        file: the open file to write the content to.
    """

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._sha256, self._size = hashlib.sha256(), 0

    def write(self, part: bytes) -> None:
        """Append *part* to the file."""
        self._file.write(part)
        self._sha256.update(part)
        self._size += len(part)

    @property
    def stored(self) -> StoredFile:
        """The name of the file, and the SHA-256 and size of what has been written so far."""
        return StoredFile(self._path, self._sha256.hexdigest(), self._size)


class NewFolder:
    """
    A new folder that is being filled with files, in a block of `Files.create_folder`.

    Args:
        folder: the path of the folder.
        name: the name of the folder, relative to the root.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def put(self, name: str, content: bytes) -> StoredFile:
        """Write a new file with this *content* to the folder."""
        with _created(self._folder / name, f"{self._name}/{name}") as new:
            new.write(content)
        return new.stored


class Files:
    """
    Immutable files below *root*, each under a name such as ``jobs/a/b.parquet``.

    A file is written once, under a name that has not been used before, and does not change until it
    is deleted.

    When `put` returns, or a block of `create` or `create_folder` ends, the new files and the
    folders above them are on disk. Callers store a file's name elsewhere only after that. So files
    need no temporary names, and a crash leaves at most files whose names are stored nowhere.

    Names are relative paths. A method that takes a name raises `ValueError` if the name leads out
    of the root, and the `OSError` of the system if the file cannot be used.

    Args:
        root: a folder, which may be on a volume that several machines mount.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real_root = os.path.realpath(root)
        # Folders whose names, like those of the folders above them, this process has seen on disk.
        # No other process deletes and makes such a folder again: names are used once.
        self._synced: set[Path] = set()

    @contextmanager
    def create(self, name: str) -> Iterator[NewFile]:
        """
        Yield a new file to write to, in a ``with`` block. If the block fails, no file is left.

        Raises:
            FileExistsError: a file of this name exists.
        """
        path = self._path(name)
        self._make(path.parent)
        with _created(path, name) as new:
            yield new
        self._sync(path.parent)

    def put(self, name: str, content: bytes) -> StoredFile:
        """Write a new file with this *content*; raise the same errors as `create`."""
        with self.create(name) as new:
            new.write(content)
        return new.stored

    @contextmanager
    def create_folder(self, name: str) -> Iterator[NewFolder]:
        """
        Yield a new folder to fill in a ``with`` block. If the block fails, no folder is left.

        The new folder and the folders above it are synced once, at the end of the block.

        Raises:
            FileExistsError: a file or folder of this name exists.
        """
        path = self._path(name)
        self._make(path.parent)
        path.mkdir()
        try:
            yield NewFolder(path, name)
            self._sync(path)
        except BaseException:
            # On a full disk the next attempt needs the space.
            self.delete(name)
            raise

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in parts."""
        return self._path(name).open("rb")

    def read(self, name: str, *, sha256: str | None = None) -> bytes:
        """
        Return the content of a file.

        Raises:
            Damaged: *sha256* is given, and the content has another SHA-256.
            OSError: the file cannot be read now, which does not mean that it is damaged.
        """
        content = self._path(name).read_bytes()
        if sha256 is not None:
            require_sha256(name, sha256, hashlib.sha256(content).hexdigest())
        return content

    def copy(self, name: str, target: str, *, sha256: str) -> StoredFile:
        """
        Copy a file to a new name, and check the SHA-256 of the copied content.

        If the copy fails, no file is left. The errors are those of `read` and `create`.
        """
        with self.open(name) as old, self.create(target) as new:
            while part := old.read(PART):
                new.write(part)
            require_sha256(name, sha256, new.stored.sha256)
        return new.stored

    def describe(self, name: str) -> StoredFile:
        """Read a file that was written earlier; return its name, SHA-256 and size."""
        with self._path(name).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return StoredFile(name, sha256, os.fstat(file.fileno()).st_size)

    def local(self, name: str) -> str:
        """Return the path of a file on this machine, for a library that opens the file itself."""
        return str(self._path(name))

    def is_file(self, name: str) -> bool:
        """Return whether a file of this name exists."""
        return self._path(name).is_file()

    def size(self, name: str) -> int | None:
        """
        Return the size in bytes of a file, or the total size of the files directly in a folder.

        The result is None if there is no such file or folder.
        """
        path = self._path(name)
        try:
            files = [path] if path.is_file() else list(path.iterdir())
            return sum(file.stat().st_size for file in files)
        except (FileNotFoundError, NotADirectoryError):  # it may be deleted at any moment
            return None

    def entries(self, folder: str) -> list[str]:
        """Return the names of all files and folders directly in *folder*; [] if it is missing."""
        try:
            found = sorted(os.listdir(self._path(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [f"{folder}/{name}" if folder else name for name in found]

    def measure(self, folder: str) -> int:
        """
        Return the total size in bytes of all files below *folder*; 0 if it is missing.

        Files that are deleted meanwhile do not count.

        Raises:
            OSError: the size of a file, or a folder, cannot be read, which does not mean that it
                is empty.
        """
        walk = os.walk(self._path(folder), onerror=_refuse_unless_gone)
        return sum(_size(Path(inner, name)) for inner, _, names in walk for name in names)

    def idle_s(self, name: str) -> float:
        """
        Return the number of seconds since anything was written to a file, or below a folder.

        Raises:
            OSError: part of the folder cannot be examined, so the last write is not known.
        """
        path = self._path(name)
        latest = path.lstat().st_mtime
        for folder, _, names in os.walk(path, onerror=_refuse):
            paths = (Path(folder), *(Path(folder, name) for name in names))
            latest = max(latest, *(each.lstat().st_mtime for each in paths))
        return time.time() - latest

    def delete(self, name: str) -> None:
        """
        Delete the file or folder *name*, with everything in it. Do nothing if there is none.

        Raises:
            OSError: the file, or part of the folder, could not be deleted.
        """
        path = self._path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_unless_gone)
        else:
            path.unlink(missing_ok=True)

    def probe(self) -> None:
        """
        Check that files can be written: write a file to disk and delete it.

        Raises:
            OSError: the system could not write or delete the file.
        """
        path = self.root / f"{PROBE}{secrets.token_hex(8)}"
        try:
            with path.open("xb") as file:
                file.write(b"can be written")
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        # realpath looks at every folder above a file, and a checkpoint takes ten of these calls.
        path = os.path.realpath(os.path.join(self.root, name))
        if not _is_below(path, self._real_root):
            self._real_root = os.path.realpath(self.root)  # it may be a link that was changed
            if not _is_below(path, self._real_root):
                raise ValueError(f"a path must lie below the storage root, got {name!r}")
        return Path(path)

    def _make(self, folder: Path) -> None:
        """Make *folder* and the folders above it, unless they exist."""
        for each in (folder, *folder.parents):
            if each.is_dir():
                break
            self._synced.discard(each)
        folder.mkdir(parents=True, exist_ok=True)

    def _sync(self, folder: Path) -> None:
        """
        Sync the entries of *folder* to disk, and those of the folders above it up to the root.

        The sync stops at a folder whose name this process has synced before.
        """
        root = Path(self._real_root)
        for each in (folder, *folder.parents):
            sync_folder(each)
            # Each process syncs even a folder that existed already, once: the process that made the
            # folder may have crashed before its sync. Each sync waits for the disk, and a
            # checkpoint is seven folders deep.
            if each == root or each in self._synced:
                break
        if len(self._synced) > MAX_SYNCED:
            self._synced.clear()
        self._synced.update(p for p in folder.parents if p != root and p.is_relative_to(root))


@contextmanager
def _created(path: Path, name: str) -> Iterator[NewFile]:
    """
    Yield a new file to write to, in a ``with`` block. If the block fails, no file is left.

    After the block the content is on disk. The folder of the file is not synced.
    """
    with path.open("xb") as file:
        try:
            yield NewFile(name, file)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # deleted meanwhile
        return 0


def _refuse(error: OSError) -> None:
    raise error


def _refuse_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _unless_gone(function: object, path: str, error: tuple[Any, BaseException, Any]) -> None:
    """Raise the *error* of a deletion, unless another process has deleted the file meanwhile."""
    del function, path
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]
