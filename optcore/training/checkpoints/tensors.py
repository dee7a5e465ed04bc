"""Read the tensors of a checkpoint, after the SHA-256 of its files has been checked."""

from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as tensors_from_bytes
from torch import Tensor, nn

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


def load_network(model: nn.Module, files: Files, path: str, *, sha256: str) -> None:
    """
    Give *model* the parameters and buffers in a file with a network, in place.

    One tensor after the other is copied from the file, so that there is no second network in
    memory. If the file cannot be used, *model* is left as it was.

    Args:
        model: the network.
        files: the storage that holds the file.
        path: the name of a safetensors file with exactly the tensors of *model*.
        sha256: the SHA-256 of the file.

    Raises:
        CheckpointUnusable: the file is damaged, or holds another network.
        OSError: the file does not exist, or cannot be read now.
    """
    found = files.describe(path).sha256
    if found != sha256:
        raise CheckpointUnusable(f"{path} must have SHA-256 {sha256}, got {found}: it is damaged")
    own = model.state_dict()
    try:
        with safe_open(files.local(path), "pt") as file:
            if set(file.keys()) != own.keys():
                raise CheckpointUnusable(f"{path} does not fit the network: it has other tensors")
            for name, tensor in own.items():
                shape = list(file.get_slice(name).get_shape())
                if shape != list(tensor.shape):
                    text = f"{name} must have shape {list(tensor.shape)}, got {shape}"
                    raise CheckpointUnusable(f"{path} does not fit the network: {text}")
            with torch.no_grad():
                for name, tensor in own.items():
                    tensor.copy_(file.get_tensor(name))
    except SafetensorError as error:
        raise CheckpointUnusable(f"{path} is damaged: {error}") from None


def _tensors(path: str, content: bytes) -> dict[str, Tensor]:
    try:
        return tensors_from_bytes(content)
    # The content has the expected SHA-256, if one was given: the file never was safetensors.
    except (ValueError, SafetensorError) as error:
        raise CheckpointUnusable(f"{path} is damaged: {error}") from None
