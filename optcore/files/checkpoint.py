"""
The files of a checkpoint: a folder with three files, which never change.

    model.safetensors   the network: loads with plain safetensors
    state.safetensors   the optimizer's slots, averaged and slow weights, gradients of an
                        unfinished step, the order of the examples; of runs that release 0.2.0
                        may resume, torch's generators
    state.json          the facts: everything else, and the SHA-256 of the other two files

``state.json`` is written last: a folder without it was left by a crash.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from optcore.files.files import Damaged, Files

FORMAT = 4
MODEL, STATE, FACTS = "model.safetensors", "state.safetensors", "state.json"
PREFIX = "step-"


class CheckpointUnusable(Exception):
    """A checkpoint is damaged, or does not fit the run that should be restored from it."""


class CheckpointFiles(NamedTuple):
    """
    The content of a checkpoint, whose SHA-256 sums have been checked.

    Attributes:
        facts: the content of ``state.json``.
        model: the bytes of ``model.safetensors``.
        state: the bytes of ``state.safetensors``.
    """

    facts: dict[str, Any]
    model: bytes
    state: bytes


def write(
    files: Files, folder: str, *, step: int, facts: Mapping[str, Any], model: bytes, state: bytes
) -> tuple[str, str]:
    """
    Write a checkpoint to a new folder; return the folder's name and the SHA-256 of ``state.json``.

    Args:
        files: the storage to write to.
        folder: the folder of all checkpoints of a run. The new folder is made in it.
        step: the number of steps made. The names of the folders sort by this number.
        facts: the content of ``state.json``, without the SHA-256 of the other two files.
        model: the content of ``model.safetensors``.
        state: the content of ``state.safetensors``.
    """
    name = f"{folder}/" * bool(folder) + f"{PREFIX}{step:08d}-{secrets.token_hex(4)}"
    with files.create_folder(name) as new:
        sums = {
            file: new.put(file, content).sha256
            for file, content in ((MODEL, model), (STATE, state))
        }
        sha256 = new.put(FACTS, json.dumps({**facts, "files": sums}).encode()).sha256
    return name, sha256


def read(files: Files, name: str, *, sha256: str | None = None) -> CheckpointFiles:
    """
    Return the content of the checkpoint *name*, after checking the SHA-256 of its files.

    The SHA-256 of ``state.json`` is checked only if *sha256* is given.

    Raises:
        CheckpointUnusable: a file is damaged, or has another format.
        OSError: a file does not exist, or cannot be read now.
    """
    facts = read_facts(files, name, sha256=sha256)
    if facts.get("format") != FORMAT:
        raise CheckpointUnusable(f"{name} must have format {FORMAT}, got {facts.get('format')}")
    model, state = (
        verified(files, f"{name}/{file}", sha256=facts["files"][file]) for file in (MODEL, STATE)
    )
    return CheckpointFiles(facts, model, state)


def read_facts(files: Files, name: str, *, sha256: str | None = None) -> dict[str, Any]:
    """Return the content of a checkpoint's ``state.json``; raise the same errors as `read`."""
    content = verified(files, f"{name}/{FACTS}", sha256=sha256)
    try:
        facts: dict[str, Any] = json.loads(content)
        facts["files"] = {file: str(facts["files"][file]) for file in (MODEL, STATE)}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointUnusable(f"{name} is damaged: {error!r}") from None
    return facts


def read_model(files: Files, name: str, *, sha256: str | None = None) -> bytes:
    """
    Return the network that is stored as *name*: a checkpoint, or a file that holds a network.

    The function raises the same errors as `read`.
    """
    if files.is_file(name):
        return verified(files, name, sha256=sha256)
    facts = read_facts(files, name, sha256=sha256)
    return verified(files, f"{name}/{MODEL}", sha256=facts["files"][MODEL])


def verified(files: Files, name: str, *, sha256: str | None) -> bytes:
    """Return the content of a file, checked against *sha256*; raise the same errors as `read`."""
    try:
        return files.read(name, sha256=sha256)
    except Damaged as error:
        raise CheckpointUnusable(f"{error}: the file is damaged") from None


def copy(
    files: Files, source: str, target: str, *, sha256: str, keep: Literal["weights", "optimizer"]
) -> str:
    """
    Copy a checkpoint, or a file with a network, to a new folder; return the name of the copy.

    Args:
        files: the storage of both the source and the copy.
        source: the name of a checkpoint, or of a file that holds a network.
        target: the name of the new folder. If copying fails, the files copied so far stay in it.
        sha256: the SHA-256 of the checkpoint's ``state.json``, or of the file.
        keep: ``weights`` to leave out the optimizer's state; ``optimizer`` to copy everything.

    Raises:
        Damaged: the content of a file is not what was written.
        OSError: a file does not exist, or cannot be read or written now.
    """
    if files.is_file(source):
        return files.copy(source, f"{target}/{MODEL}", sha256=sha256).path
    sums = json.loads(files.read(f"{source}/{FACTS}", sha256=sha256))["files"]
    for name in (MODEL,) if keep == "weights" else (MODEL, STATE):
        files.copy(f"{source}/{name}", f"{target}/{name}", sha256=sums[name])
    files.copy(f"{source}/{FACTS}", f"{target}/{FACTS}", sha256=sha256)
    return target


def prune(files: Files, folder: str, *, most: int) -> list[str]:
    """
    Delete checkpoints that crashes left incomplete, and old complete checkpoints.

    Only the process that writes the checkpoints of a run may call this function.

    Args:
        files: the storage that holds the checkpoints.
        folder: the folder of all checkpoints of a run.
        most: the number of complete checkpoints to keep: those of the latest steps.

    Returns:
        The names of the checkpoints that are left, in the order of their steps.
    """
    # Release 0.2.0 wrote a checkpoint as ``.draft-step-...`` and renamed it.
    names = [name for name in files.entries(folder) if PREFIX in name.rpartition("/")[2]]
    left = [name for name in names if files.is_file(f"{name}/{FACTS}")][-most:]
    delete(files, [name for name in names if name not in left])
    return left


def delete(files: Files, names: Sequence[str]) -> None:
    """Delete the checkpoints *names*. What cannot be deleted now is left for a later call."""
    for name in names:
        try:
            files.delete(name)
        except OSError:
            continue
