"""The files of a checkpoint: written durably, and verified when they are read."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from torch import Tensor

FORMAT = 4
MODEL_FILE = "model.safetensors"
STATE_FILE = "state.safetensors"
FACTS_FILE = "state.json"


class CheckpointUnusable(Exception):
    """A checkpoint is damaged, or belongs to another run."""


def read(
    path: Path, *, sha256: str | None = None
) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """
    Return facts, network and other tensors of the checkpoint at *path*, all verified.

    Raises:
        CheckpointUnusable: a file is damaged.
        OSError: a file does not exist, or cannot be read now.
    """
    content = verified(path / FACTS_FILE, sha256)
    try:
        facts = json.loads(content)
        sums = facts["files"]
        model = tensors_from_bytes(verified(path / MODEL_FILE, sums[MODEL_FILE]))
        state = tensors_from_bytes(verified(path / STATE_FILE, sums[STATE_FILE]))
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointUnusable(f"{path} is damaged: {error}") from None
    if facts.get("format") != FORMAT:
        raise CheckpointUnusable(f"{path} must have format {FORMAT}, got {facts.get('format')}")
    return facts, model, state


def network(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """Return the network in a checkpoint or a file, verified; raises as `read` does."""
    file = path
    try:
        if path.is_dir():
            file = path / MODEL_FILE
            sha256 = json.loads(verified(path / FACTS_FILE, sha256))["files"][MODEL_FILE]
        return tensors_from_bytes(verified(file, sha256))
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointUnusable(f"{path} is damaged: {error}") from None


def write_durably(path: Path, content: bytes) -> None:
    """Write *content* to *path* and wait until it is on disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def verified(path: Path, sha256: str | None) -> bytes:
    """
    Return the content of the file at *path*, whose *sha256* is checked if it is known.

    Raises:
        CheckpointUnusable: the content is not what was written.
        OSError: the file cannot be read now, which does not mean that it is damaged.
    """
    content = path.read_bytes()
    if sha256 is not None and sha256_of(content) != sha256:
        raise CheckpointUnusable(
            f"{path} must have SHA-256 {sha256}, got {sha256_of(content)}: it is damaged"
        )
    return content


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of *content*."""
    return hashlib.sha256(content).hexdigest()


def sync_folder(folder: Path) -> None:
    """Wait until the entries of *folder* are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
