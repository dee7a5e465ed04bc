"""
Files that fail or hang on command, as real processes see them.

A small library (`faulty_files.c`) is loaded before the C library of a process (``LD_PRELOAD``) and
stands before every file call that CPython, Rust and C++ make: open, stat, read, write, mkdir,
rename, unlink, fsync, mmap and their kin. Calls below one folder fail with an errno, or hang, for
as long as the test says so; all other files are left alone. It needs gcc: without one the test
is skipped. ::

    files = FaultyFiles(tmp_path / "storage", control=tmp_path / "control")
    with stack_with(tmp_path, **files.environment) as running:
        with files.broken("EROFS"):
            ...                         # whatever writes below tmp_path/storage fails
        with files.broken("hang"):
            eventually(lambda: files.held == 3)

`break_with` and `heal` do the same without a context. Which calls a mode strikes is what a kernel
would do (`STRUCK`): a read-only file system refuses writes alone, a process without free
descriptors opens nothing, a stale mount fails in everything. ``calls=WRITING`` narrows any of
them. ``match`` narrows it to paths with a text in them, ``after`` lets the first calls pass, and
``times`` lets it pass by itself: ``break_with("EIO", match="checkpoints", after=4, times=1)`` fails
the fifth call on a checkpoint, once.

Not struck: reads of memory that was mapped before, and what a process began before it was
started with `environment`.
"""

from __future__ import annotations

import atexit
import errno
import functools
import mmap
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("faulty_files.c")
PATHS, DESCRIPTORS, WRITING, OPENING = 1, 2, 4, 8
"""What a call is: it names a file, has it open, would change something, makes a descriptor."""
EVERY = PATHS | DESCRIPTORS
HANG = "hang"
STRUCK: Mapping[str, int] = {
    HANG: EVERY,
    "EROFS": WRITING,
    "ENOSPC": WRITING,
    "EDQUOT": WRITING,
    "EIO": EVERY,
    "ESTALE": EVERY,
    "EACCES": PATHS,
    "ENOENT": PATHS,
    "EMFILE": OPENING,
}
"""The modes, and which calls each strikes unless told otherwise."""

FORMAT = struct.Struct("=iiqqqq256s")
"""mode, calls, after, times, struck, held, match: `struct control` of the C source."""
MODE, SETTINGS, STRUCK_AT, HELD_AT = 0, 4, 24, 32
FOR_EVER = -1


class FaultyFiles:
    """
    The files below a folder, which can be broken.

    Args:
        root: the folder; it need not exist yet.
        control: a file outside *root*, made here, through which processes are told.
    """

    def __init__(self, root: Path, *, control: Path) -> None:
        self._root, self._control = root.resolve(), control.resolve()
        assert not self._control.is_relative_to(self._root), "it would break itself"
        self._control.write_bytes(bytes(FORMAT.size))
        with self._control.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), FORMAT.size)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of processes whose files can be broken; their children's too."""
        return {
            "LD_PRELOAD": str(library()),
            "FAULTY_FILES_ROOT": str(self._root),
            "FAULTY_FILES_CONTROL": str(self._control),
        }

    def break_with(
        self,
        mode: str,
        *,
        calls: int | None = None,
        match: str = "",
        after: int = 0,
        times: int = FOR_EVER,
    ) -> None:
        """
        Strike file calls from now on; forget how many were struck before.

        Args:
            mode: a key of `STRUCK`: the name of an errno, or "hang".
            calls: which ones: any of `PATHS`, `DESCRIPTORS`, `WRITING`, `OPENING`.
            match: only those whose path has this text in it, behind the root.
            after: calls that would be struck and still pass.
            times: calls that are struck before all is well again; not for "hang".
        """
        number = -1 if mode == HANG else getattr(errno, mode)
        wanted = STRUCK[mode] if calls is None else calls
        self.heal()
        held = self.held
        settings = FORMAT.pack(0, wanted, after, times, 0, held, match.encode())
        self._shared[SETTINGS:HELD_AT] = settings[SETTINGS:HELD_AT]
        self._shared[HELD_AT + 8 :] = settings[HELD_AT + 8 :]
        self._shared[MODE:SETTINGS] = struct.pack("=i", number)  # last: now it holds

    def heal(self) -> None:
        """Let all be well: what hangs goes on."""
        self._shared[MODE:SETTINGS] = struct.pack("=i", 0)

    @contextmanager
    def broken(
        self,
        mode: str,
        *,
        calls: int | None = None,
        match: str = "",
        after: int = 0,
        times: int = FOR_EVER,
    ) -> Iterator[None]:
        """Break them (`break_with`) for as long as the context lasts."""
        self.break_with(mode, calls=calls, match=match, after=after, times=times)
        try:
            yield
        finally:
            self.heal()

    @property
    def struck(self) -> int:
        """How many calls were struck since they were broken."""
        return self._count(STRUCK_AT)

    @property
    def held(self) -> int:
        """How many calls hang now; those of processes that were killed meanwhile count for ever."""
        return self._count(HELD_AT)

    def _count(self, where: int) -> int:
        (found,) = struct.unpack_from("=q", self._shared, where)
        return int(found)


@functools.cache
def library() -> Path:
    """Return the library, made once for all tests of this process; skip the test without gcc."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is needed to make files fail")
    folder = Path(tempfile.mkdtemp(prefix="faulty-files-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = folder / "faulty_files.so"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return made
