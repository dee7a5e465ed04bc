"""Files that fail on command: every call that the service's libraries make is struck."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.machine.faulty_files import OPENING, PATHS, STRUCK, WRITING, FaultyFiles
from tests.support.machine.processes import eventually

OPERATIONS = {
    "open": "open(f)",
    "create": "open(d / 'new', 'xb')",
    "read": "opened.read(1)",
    "pread": "os.pread(opened.fileno(), 1, 0)",
    "write": "os.write(writable.fileno(), b'x')",
    "fsync": "os.fsync(writable.fileno())",
    "fdatasync": "os.fdatasync(writable.fileno())",
    "fstat": "os.fstat(opened.fileno())",
    "truncate": "os.ftruncate(writable.fileno(), 0)",
    "stat": "f.stat()",
    "lstat": "f.lstat()",
    "list": "os.listdir(d)",
    "walk": "next(os.scandir(d))",
    "mkdir": "(d / 'sub').mkdir()",
    "rmdir": "(d / 'empty').rmdir()",
    "rename": "f.rename(d / 'other')",
    "into": "(outside / 'f').rename(d / 'other')",
    "unlink": "f.unlink()",
    "remove all": "shutil.rmtree(d / 'full')",
    "link": "os.link(f, d / 'linked')",
    "symlink": "os.symlink(f, d / 'linked')",
    "times": "os.utime(f)",
    "chmod": "f.chmod(0o600)",
    "copy from": "shutil.copyfile(f, outside / 'copy')",
    "copy to": "shutil.copyfile(outside / 'f', d / 'copy')",
    "map": "mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)",
    "relative": "os.open('f', os.O_RDONLY, dir_fd=folder)",
    "from here": "(os.chdir('/'), open(os.path.relpath(f)))",
    "safetensors": "safetensors.safe_open(d / 'model.safetensors', 'np')",
    "save": "safetensors.numpy.save_file({}, d / 'new.safetensors')",
    "parquet": "pyarrow.parquet.ParquetFile(d / 'rows.parquet')",
    "write parquet": "pyarrow.parquet.write_table(table, d / 'new.parquet')",
}
"""What a process does with files, as CPython, Rust and C++ do it."""
WRITES = {
    *("create", "write", "fsync", "fdatasync", "truncate", "mkdir", "rmdir", "rename", "into"),
    *("unlink", "remove all", "link", "symlink", "times", "chmod", "copy to"),
    *("save", "write parquet"),
}
OPENS = {
    *("open", "create", "list", "walk", "remove all", "copy from", "copy to", "relative"),
    *("from here", "safetensors", "save", "parquet", "write parquet"),
}
ON_OPEN_FILES = {"read", "pread", "write", "fsync", "fdatasync", "fstat", "truncate", "map"}

PROGRAM = """
import mmap, os, shutil, sys
from pathlib import Path
import pyarrow, pyarrow.parquet, safetensors, safetensors.numpy

d, outside = Path(sys.argv[1]), Path(sys.argv[2])
table = pyarrow.table({"a": [1]})

def prepare():
    shutil.rmtree(d, ignore_errors=True)
    for folder in (d, d / "empty", d / "full" / "deeper", outside):
        folder.mkdir(parents=True, exist_ok=True)
    f = d / "f"
    for file in (f, outside / "f", d / "full" / "g"):
        file.write_bytes(b"content")
    safetensors.numpy.save_file({}, d / "model.safetensors")
    pyarrow.parquet.write_table(table, d / "rows.parquet")
    return f, f.open("rb"), (d / "w").open("wb", buffering=0), os.open(d, os.O_RDONLY)

for line in sys.stdin:
    if line.startswith("prepare"):
        f, opened, writable, folder = prepare()
        print("ready", flush=True)
        continue
    try:
        eval(line)
    except OSError as error:
        print(error.errno or error, flush=True)
    except Exception as error:  # each library has its own
        print(error, flush=True)
    else:
        print("done", flush=True)
"""


class Program:
    """A process whose files can be broken."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def prepare(self) -> None:
        """Make its files anew."""
        assert self.does("prepare") == "ready"

    def begin(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def does(self, line: str) -> str:
        """Return "done", or the error: its number, or what a library says."""
        self.begin(line)
        return self.answer()


@contextmanager
def _program(root: Path, outside: Path, files: FaultyFiles) -> Iterator[Program]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), str(outside)],
        env={**os.environ, **files.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Program(process)
        process.kill()


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken")


@pytest.fixture(scope="module")
def files(root: Path, outside: Path) -> FaultyFiles:
    return FaultyFiles(root, control=outside / "control")


@pytest.fixture(scope="module")
def running(root: Path, outside: Path, files: FaultyFiles) -> Iterator[Program]:
    with _program(root, outside, files) as started:
        yield started


@pytest.fixture
def program(running: Program, files: FaultyFiles) -> Program:
    files.heal()
    running.prepare()
    return running


def struck_by(mode: str) -> set[str]:
    match STRUCK[mode]:
        case _ if mode == "EMFILE":
            return OPENS
        case kind if kind == WRITING:
            return WRITES
        case kind if kind == PATHS:
            return set(OPERATIONS) - ON_OPEN_FILES
    return set(OPERATIONS)


@pytest.mark.parametrize("mode", [mode for mode in STRUCK if mode != "hang"])
def test_what_a_mode_strikes_fails_with_its_error_and_all_else_works(
    program: Program, files: FaultyFiles, mode: str
) -> None:
    number = getattr(errno, mode)
    failed = {}

    for name, line in OPERATIONS.items():
        with files.broken(mode):
            found = program.does(line)
        if found != "done":
            failed[name] = found
        program.prepare()

    assert set(failed) == struck_by(mode)
    for name, found in failed.items():
        match name:
            case "safetensors":  # it says so whatever went wrong
                assert found.startswith("No such file or directory")
            case "save":
                assert f"(os error {number})" in found
            case _:
                assert found == str(number), name


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_call_hangs_until_all_is_well(
    program: Program, files: FaultyFiles, name: str
) -> None:
    with files.broken("hang"):
        program.begin(OPERATIONS[name])
        eventually(lambda: files.held == 1)
        assert files.struck == 1
    answer = program.answer()

    assert answer == "done"
    assert files.held == 0


def test_files_elsewhere_are_left_alone(program: Program, files: FaultyFiles) -> None:
    with files.broken("EIO"):
        assert program.does("(outside / 'f').read_bytes()") == "done"
        assert program.does("os.stat(str(d) + 'er')") == str(errno.ENOENT)
        assert program.does("os.stat(d / '..')") == "done"
        assert files.struck == 0
        assert program.does("os.stat(outside / '..' / d.name / '.' / 'f')") == str(errno.EIO)


def test_writing_alone_can_fail_with_any_error(program: Program, files: FaultyFiles) -> None:
    with files.broken("EIO", calls=WRITING):
        assert program.does(OPERATIONS["read"]) == "done"
        assert program.does(OPERATIONS["write"]) == str(errno.EIO)
    with files.broken("ESTALE", calls=OPENING):
        assert program.does(OPERATIONS["stat"]) == "done"
        assert program.does(OPERATIONS["open"]) == str(errno.ESTALE)


def test_only_paths_that_match_are_struck(program: Program, files: FaultyFiles) -> None:
    with files.broken("EIO", match="full/"):
        assert program.does("f.stat()") == "done"
        assert program.does("(d / 'full' / 'g').stat()") == str(errno.EIO)


def test_it_can_be_struck_later_and_so_often(program: Program, files: FaultyFiles) -> None:
    with files.broken("EIO", after=2, times=1):
        found = [program.does("f.stat()") for _ in range(5)]

    assert found == ["done", "done", str(errno.EIO), "done", "done"]
    assert files.struck == 1
