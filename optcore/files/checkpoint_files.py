"""
Writes, reads, copies and deletes the files of checkpoints.

A checkpoint is a folder with three files, which never change:

    model.safetensors   the tensors of the network, which plain safetensors can load
    state.safetensors   the other tensors: the optimizer's slots, averaged and slow weights,
                        gradients of an unfinished step, the order of the examples
    state.json          the facts: everything that is not a tensor, and the SHA-256 of the other
                        two files

``state.json`` is written last, so a folder without this file was left by a crash.

The checkpoints of a run that release 0.2.0 can resume also hold the states of the global random
generators, which that release requires.

A copy of the weights alone has no ``state.safetensors``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from optcore.files.files import Files
from optcore.files.integrity import Damaged

FORMAT = 4
MODEL, STATE, FACTS = "model.safetensors", "state.safetensors", "state.json"
PREFIX = "step-"


class CheckpointUnusable(Exception):
    """A checkpoint is damaged, has another format, or does not fit the run that loads it."""


class CheckpointFiles(NamedTuple):
    """
    The content of the three files of a checkpoint, as `read` returns it after checking the files.

    Attributes:
        facts: the parsed content of ``state.json``.
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
        facts: the content of ``state.json``. The SHA-256 of the other two files is added to it.
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

    Args:
        files: the storage that holds the checkpoint.
        name: the name of the checkpoint's folder.
        sha256: the SHA-256 of ``state.json``. If it is None, ``state.json`` is not checked.

    Raises:
        CheckpointUnusable: a file is damaged, or the checkpoint has another format.
        OSError: a file does not exist, or cannot be read now.
    """
    facts = read_facts(files, name, sha256=sha256)
    if facts.get("format") != FORMAT:
        raise CheckpointUnusable(
            f"the checkpoint {name} must have format {FORMAT}, got {facts.get('format')}"
        )
    model, state = (
        verified(files, f"{name}/{file}", sha256=facts["files"][file]) for file in (MODEL, STATE)
    )
    return CheckpointFiles(facts, model, state)


def read_facts(files: Files, name: str, *, sha256: str | None = None) -> dict[str, Any]:
    """
    Return the content of a checkpoint's ``state.json``, after checking its SHA-256.

    The arguments and errors are those of `read`, but the format is not checked.
    """
    content = verified(files, f"{name}/{FACTS}", sha256=sha256)
    try:
        facts: dict[str, Any] = json.loads(content)
        facts["files"] = {file: str(facts["files"][file]) for file in (MODEL, STATE)}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointUnusable(f"{name}/{FACTS} is damaged: {error!r}") from None
    return facts


def read_model(files: Files, name: str, *, sha256: str | None = None) -> bytes:
    """
    Return the bytes of a network, after checking their SHA-256.

    Args:
        files: the storage that holds the network.
        name: the name of a checkpoint's folder, or of a file that holds only a network.
        sha256: the SHA-256 of the checkpoint's ``state.json``, or of the file that holds only a
            network. If it is None, ``state.json`` or the file is not checked.

    Raises:
        CheckpointUnusable: a file is damaged.
        OSError: a file does not exist, or cannot be read now.
    """
    if files.is_file(name):
        return verified(files, name, sha256=sha256)
    facts = read_facts(files, name, sha256=sha256)
    return verified(files, f"{name}/{MODEL}", sha256=facts["files"][MODEL])


def verified(files: Files, name: str, *, sha256: str | None) -> bytes:
    """
    Return the content of a file, after checking its SHA-256 unless *sha256* is None.

    Raises:
        CheckpointUnusable: the file is damaged.
        OSError: the file does not exist, or cannot be read now.
    """
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
        keep: ``weights`` to leave out ``state.safetensors``; ``optimizer`` to copy all files.

    Returns:
        *target* if the source is a checkpoint; ``target/model.safetensors`` if it is a file.

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
    Delete checkpoints that crashes left incomplete, and all but the latest complete checkpoints.

    Only the process that writes the checkpoints of a run may call this function: a checkpoint that
    another process is writing would be deleted as incomplete.

    Args:
        files: the storage that holds the checkpoints.
        folder: the folder of all checkpoints of a run.
        most: the number of complete checkpoints to keep, at least 1.

    Returns:
        The names of the checkpoints that were kept, in the order of their steps.
    """
    # Release 0.2.0 wrote a checkpoint as ``.draft-step-...`` and renamed it.
    names = [name for name in files.entries(folder) if PREFIX in name.rpartition("/")[2]]
    left = [name for name in names if files.is_file(f"{name}/{FACTS}")][-most:]
    delete(files, [name for name in names if name not in left])
    return left


def delete(files: Files, names: Sequence[str]) -> None:
    """Delete the checkpoints *names*. A checkpoint that cannot be deleted stays, without error."""
    for name in names:
        try:
            files.delete(name)
        except OSError:
            continue
