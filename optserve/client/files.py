"""Files that are written completely or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path


def write_atomically(path: Path, parts: Iterable[bytes]) -> None:
    """
    Write *parts* to *path*; if that fails, the file is what it was before.

    They go to a temporary file in the same folder, which then replaces *path*.
    """
    # Random, so that two downloads of one file at a time do not write into each other.
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with draft.open("xb") as file:
            file.writelines(parts)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
