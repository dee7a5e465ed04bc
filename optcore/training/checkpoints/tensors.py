"""Read the tensors of a checkpoint, after the SHA-256 of its files has been checked."""

from __future__ import annotations

from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from torch import Tensor

from optcore.files import checkpoint_files as layout
from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.files.files import Files


def read(
    files: Files, path: str, *, sha256: str | None = None
) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """
    Return the facts, the network and the other tensors of the checkpoint at *path*.

    Raises:
        CheckpointUnusable: a file is damaged, or has another format.
        OSError: a file does not exist, or cannot be read now.
    """
    found = layout.read(files, path, sha256=sha256)
    return found.facts, _tensors(path, found.model), _tensors(path, found.state)


def network(files: Files, path: str, sha256: str | None) -> dict[str, Tensor]:
    """
    Return the tensors of a network by name, from a checkpoint or from a safetensors file.

    The errors are those of `read`.
    """
    return _tensors(path, layout.read_model(files, path, sha256=sha256))


def _tensors(path: str, content: bytes) -> dict[str, Tensor]:
    try:
        return tensors_from_bytes(content)
    # The content has the expected SHA-256, if one was given: the file never was safetensors.
    except (ValueError, SafetensorError) as error:
        raise CheckpointUnusable(f"{path} is damaged: {error}") from None
