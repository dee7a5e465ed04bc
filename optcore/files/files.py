"""Immutable files by name, below one root."""

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

PROBE = ".probe-"
"""What the names of files begin with that only show that files can be written."""
PART = 1 << 20
"""Bytes of a part, where a file is read in parts."""


class Damaged(Exception):
    """A file is not what was written."""


@dataclass(frozen=True)
class StoredFile:
    """
    A file that was written.

    Attributes:
        path: its name, below the root.
        sha256: of its content.
        size: in bytes.
    """

    path: str
    sha256: str
    size: int


class NewFile:
    """
    A file while it is written.

    Args:
        path: its name.
        file: where its bytes go.
    """

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._sha256, self._size = hashlib.sha256(), 0

    def write(self, part: bytes) -> None:
        """Append *part*."""
        self._file.write(part)
        self._sha256.update(part)
        self._size += len(part)

    @property
    def stored(self) -> StoredFile:
        """What there is of it by now; all of it once `Files.create` has ended."""
        return StoredFile(self._path, self._sha256.hexdigest(), self._size)


class Files:
    """
    Immutable files below *root*, each under a name such as ``jobs/a/b.parquet``.

    A file is written once, under a name that nobody has used before, and stays what it is until it
    is deleted. It is on disk, and so are the folders on the way to it, when `create` or `put`
    return; only then is a record made to point to it. So nothing is renamed, and a crash leaves at
    most a file that no record names.

    Names are relative paths. A method that takes a name raises `ValueError` if it leads out of the
    root, and the `OSError` of the system if the file cannot be used.

    Args:
        root: a local folder, or a volume that is mounted wherever the files are used.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def create(self, name: str) -> Iterator[NewFile]:
        """
        Give a new file to write to; what fails before its end leaves no file.

        Raises:
            FileExistsError: the name has been used.
        """
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            try:
                yield NewFile(name, file)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        self._sync(path.parent)

    def put(self, name: str, content: bytes) -> StoredFile:
        """Write a new file; raises as `create` does."""
        with self.create(name) as new:
            new.write(content)
        return new.stored

    def open(self, name: str) -> BinaryIO:
        """Open a file to read it in parts."""
        return self._path(name).open("rb")

    def read(self, name: str, *, sha256: str | None = None) -> bytes:
        """
        Return the content of a file.

        Raises:
            Damaged: its SHA-256 is not *sha256*.
            OSError: it cannot be read now, which says nothing about what it holds.
        """
        content = self._path(name).read_bytes()
        if sha256 is not None:
            _require(name, sha256, hashlib.sha256(content).hexdigest())
        return content

    def copy(self, name: str, target: str, *, sha256: str) -> StoredFile:
        """Copy a file to a new name, part after part; raises as `read` and `create` do."""
        with self.open(name) as old, self.create(target) as new:
            while part := old.read(PART):
                new.write(part)
            _require(name, sha256, new.stored.sha256)
        return new.stored

    def describe(self, name: str) -> StoredFile:
        """Read a file that was written earlier; return what it is."""
        with self._path(name).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return StoredFile(name, sha256, file.tell())

    def local(self, name: str) -> str:
        """Return the path of a file on this machine, for a library that opens or maps it itself."""
        return str(self._path(name))

    def is_file(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return self._path(name).is_file()

    def size(self, name: str) -> int | None:
        """Return the bytes of a file, or of all files directly in a folder; None for neither."""
        path = self._path(name)
        try:
            files = [path] if path.is_file() else list(path.iterdir())
            return sum(file.stat().st_size for file in files)
        except (FileNotFoundError, NotADirectoryError):  # it may be deleted at any moment
            return None

    def entries(self, folder: str) -> list[str]:
        """Return the names of the files and folders in *folder*; none if there is no folder."""
        try:
            found = sorted(os.listdir(self._path(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [f"{folder}/{name}" if folder else name for name in found]

    def measure(self, folder: str) -> int:
        """
        Return the bytes of all files below *folder*.

        Raises:
            OSError: one of them cannot be looked at, which does not make it empty.
        """
        return sum(_size(path) for path in self._path(folder).rglob("*"))

    def idle_s(self, name: str) -> float:
        """
        Return for how many seconds nothing has been written to a file, or below a folder.

        Raises:
            OSError: part of it cannot be looked at, which proves nothing about its age.
        """
        path = self._path(name)
        latest = path.lstat().st_mtime
        for folder, _, names in os.walk(path, onerror=_refuse):
            paths = (Path(folder), *(Path(folder, name) for name in names))
            latest = max(latest, *(each.lstat().st_mtime for each in paths))
        return time.time() - latest

    def delete(self, name: str) -> None:
        """
        Delete a file, or a folder with all that is in it; nothing if there is none.

        Raises:
            OSError: some of it is still there.
        """
        path = self._path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_unless_gone)
        else:
            path.unlink(missing_ok=True)

    def probe(self) -> None:
        """Write a file durably and remove it; raise what the system says."""
        path = self.root / f"{PROBE}{secrets.token_hex(8)}"
        try:
            with path.open("xb") as file:
                file.write(b"can be written")
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError(f"a path must lie below the storage root, got {name!r}")
        return path

    def _sync(self, folder: Path) -> None:
        """Put on disk the entries of *folder*, and of every folder from there to the root."""
        # All of them, even if they existed: what made one may have crashed before its sync.
        # A folder without changes costs a system call, and no write.
        root = self.root.resolve()
        for each in (folder, *folder.parents):
            sync_folder(each)
            if each == root:
                return


def _require(name: str, sha256: str, found: str) -> None:
    if found != sha256:
        raise Damaged(f"{name.rpartition('/')[2]} must have SHA-256 {sha256}, got {found}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # deleted meanwhile
        return 0


def _refuse(error: OSError) -> None:
    raise error


def _unless_gone(function: object, path: str, error: tuple[Any, BaseException, Any]) -> None:
    """Raise why something could not be deleted, unless another process just did."""
    del function, path
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]
