"""Checks of folders: there, writable, with room, and for nobody else to read where that matters."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from optserve.local.doctor.findings import Examined, Finding

LEAST_FREE_BYTES = 1 << 30
"""Below this a few checkpoints fill the disk."""
PRIVATE = 0o700


def check_writable(examined: Examined) -> Iterator[Finding]:
    """Look whether files can be written wherever a stack writes some."""
    settings = examined.settings
    folders = {
        "home": examined.home,
        "logs": examined.home / "logs",
        "storage": settings.storage_dir,
        "run": settings.run_dir,
    }
    if settings.redis_url is None:
        folders["redis"] = examined.data
    for name, folder in folders.items():
        yield _writable(name, folder)


def check_readable(examined: Examined) -> Iterator[Finding]:
    """Look whether the datasets can be read."""
    folder = examined.settings.data_dir
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        yield Finding("data", f"{folder} is not there yet")
    except OSError as error:
        yield Finding("data", f"{folder} cannot be read: {error.strerror}", _allow(folder))
    else:
        yield Finding("data", f"{folder} holds {', '.join(names) or 'no dataset'}")


def check_room(examined: Examined) -> Iterator[Finding]:
    """Look whether there is room for checkpoints and for what the server writes."""
    for name, folder in {"storage": examined.settings.storage_dir, "home": examined.home}.items():
        if not folder.is_dir():
            continue
        free = shutil.disk_usage(folder).free
        said = f"{free / 1e9:.1f} GB are free where {folder} lies"
        few = free < LEAST_FREE_BYTES
        yield Finding(f"room: {name}", said, "make room, or move it to a larger disk" * few)


def check_private(examined: Examined) -> Iterator[Finding]:
    """Look whether the server's folder and socket are for this user alone."""
    folder = examined.data
    if not folder.is_dir():
        return
    mode = stat.S_IMODE(folder.stat().st_mode)

    def close() -> str:
        folder.chmod(PRIVATE)
        return f"{folder} is for this user alone"

    if mode == PRIVATE:
        yield Finding("redis: rights", f"{folder} is for this user alone")
    else:
        said = f"{folder} has mode {mode:o}: others may reach all jobs"
        yield Finding("redis: rights", said, f"chmod 700 {folder}, or --repair", close)


def check_url(examined: Examined) -> Iterator[Finding]:
    """Look whether clients are led to a stack that is gone."""
    file = examined.home / "url"
    if examined.running or not file.exists():
        return

    def remove() -> str:
        file.unlink(missing_ok=True)
        return f"{file} is removed"

    said = f"{file} names a service that has ended without removing it"
    yield Finding("url", said, "start the stack again, or --repair", remove)


def _writable(name: str, folder: Path) -> Finding:
    if not folder.exists():
        return Finding(name, f"{folder} is not there yet")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(name, f"{folder} cannot be written to: {error.strerror}", _allow(folder))
    return Finding(name, f"{folder} can be written to")


def _allow(folder: Path) -> str:
    return f"see that it is a folder, mounted, and this user's: {folder}"
