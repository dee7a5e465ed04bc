"""A real text for datasets of the kind text: what Python itself carries."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

SIZE = 100_000
"""Number of bytes of the text."""


def write_text(data_dir: Path, name: str = "python.txt", size: int = SIZE) -> Path:
    """Write a text of *size* bytes to the folder ``text`` of *data_dir*; return its path."""
    modules = (argparse, inspect)
    text = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    assert len(text) >= size
    path = data_dir / "text" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text[:size])
    return path
