"""
The check of the append-only files in which an embedded server stores its data.

A manifest names the files. The first one is the base, with all data of some moment: a snapshot, or
a file of commands. The other files have the commands that were executed after this moment.

If the last file ends with an unfinished command, the server itself truncates the file before this
command. If anything else in the files is unreadable, the server does not start.

The server's program contains tools for these files. The tools report where the unreadable part of a
file begins, and can truncate the file there.
"""

from __future__ import annotations

import mmap
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from optserve.local.doctor.findings import Finding, Home, RepairFailed
from optserve.local.valkey import ServerError, binary

SUBJECT = "redis: files"
FOLDER = "appendonlydir"
MANIFEST = "appendonly.aof.manifest"
SNAPSHOTS = (b"VALKEY", b"REDIS")
"""The first bytes of a base file that is a snapshot and not a file of commands."""
READ = re.compile(r"size=(\d+), ok_up_to=(\d+)")
GARBAGE = re.compile(r"format error|Expected (\\r\\n|prefix)")
"""Matches the tool's output for bytes that are no command; does not match for an unfinished one."""
COMMAND = re.compile(rb"\*[1-9]\d{0,5}\r\n\$\d+\r\n")
RESTORE = "restore the folder from a backup, or move it away to start with an empty store"


@dataclass(frozen=True)
class Readable:
    """
    How much of a file of commands can be read.

    Attributes:
        size: size of the file in bytes.
        end: offset in bytes at which the last complete command ends.
        unfinished: whether an unfinished command starts at *end* and the file ends within it.
    """

    size: int
    end: int
    unfinished: bool


def check_files(home: Home) -> Iterator[Finding]:
    """Check whether the embedded server can read its append-only files."""
    folder = home.data / FOLDER
    if home.settings.redis_url is not None or not folder.is_dir():
        return
    if home.running:
        yield Finding(SUBJECT, "not checked, since a running server writes these files")
        return
    try:
        yield _finding(folder)
    except ServerError as error:
        yield Finding(SUBJECT, f"not checked: {error}")


def _finding(folder: Path) -> Finding:
    try:
        files = list(_named(folder))
    except (OSError, ValueError) as error:
        return Finding(SUBJECT, f"{folder / MANIFEST} cannot be read: {error}", RESTORE)
    commands = [path for path, kind in files if kind == "i"]
    for path, kind in files:
        if not path.exists():
            return Finding(SUBJECT, f"{path} is missing", RESTORE)
        if kind == "b" and not _is_whole(path):
            return Finding(SUBJECT, f"{path} is damaged", RESTORE)
    for path in commands:
        # File by file: run on the manifest, the tool fails if the base is a snapshot.
        found = readable(path)
        if found.end == found.size or (found.unfinished and path == commands[-1]):
            continue
        if path != commands[-1]:
            return Finding(SUBJECT, f"{path} is damaged from byte {found.end} on", RESTORE)
        return _damaged(folder, path, found)
    return Finding(SUBJECT, f"the server can read the files in {folder}")


def _named(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that the server loads, with their types: b for a base, i for commands."""
    for line in (folder / MANIFEST).read_text().splitlines():
        words = shlex.split(line)
        if not words or line.startswith("#"):
            continue
        facts = dict(zip(words[::2], words[1::2], strict=True))
        if not {"file", "type"} <= facts.keys():
            raise ValueError(
                f"each line of the manifest must name a file and its type, got {line!r}"
            )
        # A file of type h (history) has been replaced by a rewrite. The server does not load it,
        # and may delete it before it removes the line from the manifest.
        if facts["type"] != "h":
            yield folder / facts["file"], facts["type"]


def _is_whole(base: Path) -> bool:
    with base.open("rb") as file:
        begins = file.read(max(map(len, SNAPSHOTS)))
    if begins.startswith(SNAPSHOTS):
        return _tool("valkey-check-rdb", base).returncode == 0
    found = readable(base)
    return found.end == found.size


def readable(path: Path) -> Readable:
    """
    Return how much of a file of commands can be read.

    Raises:
        ServerError: the server's program is not installed.
    """
    size = path.stat().st_size
    done = _tool("valkey-check-aof", path)
    if done.returncode == 0:
        return Readable(size, size, unfinished=False)
    found = READ.search(done.stdout)
    if found is None:  # not one byte is known to be good
        return Readable(size, 0, unfinished=False)
    return Readable(size, int(found[2]), unfinished=not GARBAGE.search(done.stdout))


def _tool(
    name: str, path: Path, *options: str, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    """
    Run the tool *name* on a file.

    The tool is a part of the server's program, which acts as the tool if started under its name.
    """
    return subprocess.run(
        [name, *options, str(path)],
        executable=binary(),
        input=answer,
        capture_output=True,
        text=True,
        # The tool quotes bytes of the damage.
        errors="replace",
        check=False,
    )


def _damaged(folder: Path, path: Path, found: Readable) -> Finding:
    num_bytes = found.size - found.end
    message = f"the last {num_bytes} of {found.size} bytes of {path} cannot be read"
    if lost := _commands(path, found.end):
        message += f"; {lost} commands written after the damage are among these bytes"
    todo = f"--repair copies {folder} and truncates these bytes"

    def repair() -> str:
        copy = _copied(folder)
        done = _tool("valkey-check-aof", path, "--fix", answer="y\n")
        # The tool searches for the damage again, and truncates the file where it finds it.
        if done.returncode or path.stat().st_size != found.end:
            raise RepairFailed(f"{path} could not be repaired: {done.stdout}{done.stderr}")
        return f"{num_bytes} bytes were truncated from {path}; the original is in {copy}"

    return Finding(SUBJECT, message, todo, repair)


def _commands(path: Path, begin: int) -> int:
    """Return the number of commands that seem to begin after the damage at byte *begin*."""
    # Mapped, since the file may be larger than memory.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return sum(1 for _ in COMMAND.finditer(content, begin))


def _copied(folder: Path) -> Path:
    number = 1
    while (copy := folder.with_name(f"{folder.name}.before-repair-{number}")).exists():
        number += 1
    try:
        shutil.copytree(folder, copy)
    except OSError as error:  # includes shutil.Error; the original is untouched
        shutil.rmtree(copy, ignore_errors=True)
        raise RepairFailed(f"{folder} could not be copied: {error}") from None
    return copy
