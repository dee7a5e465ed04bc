"""Checks of folders: they exist, are writable, have free space, and are private where needed."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from optserve.local.doctor.findings import Finding, Home

MIN_FREE_BYTES = 1 << 30
"""Minimum of free space on a disk: with less, a few checkpoints fill the disk."""
PRIVATE = 0o700


def check_writable(home: Home) -> Iterator[Finding]:
    """Check whether the folders that a stack writes to are writable."""
    settings = home.settings
    folders = {
        "home": home.folder,
        "logs": home.folder / "logs",
        "storage": settings.storage_dir,
        "run": settings.run_dir,
    }
    if settings.redis_url is None:
        folders["redis"] = home.data
    for name, folder in folders.items():
        yield _writable(name, folder)


def check_readable(home: Home) -> Iterator[Finding]:
    """Check whether the datasets can be read."""
    folder = home.settings.data_dir
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        yield Finding("data", f"{folder} does not exist yet")
    except OSError as error:
        yield Finding("data", f"{folder} cannot be read: {error.strerror}", _allow(folder))
    else:
        yield Finding("data", f"{folder} holds {', '.join(names) or 'no dataset'}")


def check_space(home: Home) -> Iterator[Finding]:
    """Check whether there is space for checkpoints and for the server's files."""
    for name, folder in {"storage": home.settings.storage_dir, "home": home.folder}.items():
        if not folder.is_dir():
            continue
        free = shutil.disk_usage(folder).free
        message = f"{free / 1e9:.1f} GB are free on the disk of {folder}"
        is_low = free < MIN_FREE_BYTES
        yield Finding(
            f"space: {name}", message, f"free space, or move {folder} to a larger disk" * is_low
        )


def check_private(home: Home) -> Iterator[Finding]:
    """Check whether only this user can access the server's folder and socket."""
    folder = home.data
    if not folder.is_dir():
        return
    mode = stat.S_IMODE(folder.stat().st_mode)

    def close() -> str:
        folder.chmod(PRIVATE)
        return f"only this user can access {folder}"

    if mode == PRIVATE:
        yield Finding("redis: access", f"only this user can access {folder}")
    else:
        message = f"{folder} has mode {mode:o}: other users may access all jobs"
        yield Finding("redis: access", message, f"chmod 700 {folder}, or use --repair", close)


def check_url(home: Home) -> Iterator[Finding]:
    """Check whether the file with the URL of a stack still exists although no stack runs."""
    file = home.folder / "url"
    if home.running or not file.exists():
        return

    def remove() -> str:
        file.unlink(missing_ok=True)
        return f"{file} is removed"

    message = f"{file} has the URL of a service that ended without removing this file"
    yield Finding("url", message, "start the stack again, or use --repair", remove)


def _writable(name: str, folder: Path) -> Finding:
    if not folder.exists():
        return Finding(name, f"{folder} does not exist yet")
    try:
        # Writing is tried, because permissions do not show that a mount is read-only.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(name, f"{folder} is not writable: {error.strerror}", _allow(folder))
    return Finding(name, f"{folder} is writable")


def _allow(folder: Path) -> str:
    return f"check that {folder} is a folder, is mounted, and belongs to this user"
