"""
The files of a checkpoint: a folder of three, immutable as all files are.

    model.safetensors   the network: loads with plain safetensors
    state.safetensors   the optimizer's slots, averaged and slow weights, gradients of an
                        unfinished step, the order of the examples, torch's generators
    state.json          the facts: everything else, and the SHA-256 of the other two

The facts are written last: a folder without them is what a crash has left.
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
    """A checkpoint is damaged, or belongs to another run."""


class CheckpointFiles(NamedTuple):
    """
    The content of a checkpoint, verified.

    Attributes:
        facts: what ``state.json`` holds.
        model: ``model.safetensors``.
        state: ``state.safetensors``.
    """

    facts: dict[str, Any]
    model: bytes
    state: bytes


def write(
    files: Files, folder: str, *, step: int, facts: Mapping[str, Any], model: bytes, state: bytes
) -> tuple[str, str]:
    """
    Write a checkpoint into a new folder below *folder*; return its name and the facts' SHA-256.

    Args:
        files: where it goes.
        folder: of all checkpoints of a run.
        step: steps made; the folders sort by it.
        facts: without the SHA-256 of the other two files.
        model: the network.
        state: the other tensors.
    """
    name = f"{folder}/" * bool(folder) + f"{PREFIX}{step:08d}-{secrets.token_hex(4)}"
    try:
        sums = {
            file: files.put(f"{name}/{file}", content).sha256
            for file, content in ((MODEL, model), (STATE, state))
        }
        content = json.dumps({**facts, "files": sums}).encode()
        return name, files.put(f"{name}/{FACTS}", content).sha256
    except BaseException:
        # On a full disk the next try needs the space.
        files.delete(name)
        raise


def read(files: Files, name: str, *, sha256: str | None = None) -> CheckpointFiles:
    """
    Return what the checkpoint *name* holds.

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
    """Return the facts of a checkpoint; raises as `read` does."""
    content = verified(files, f"{name}/{FACTS}", sha256=sha256)
    try:
        facts: dict[str, Any] = json.loads(content)
        facts["files"] = {file: str(facts["files"][file]) for file in (MODEL, STATE)}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointUnusable(f"{name} is damaged: {error!r}") from None
    return facts


def read_model(files: Files, name: str, *, sha256: str | None = None) -> bytes:
    """Return the network in a checkpoint, or in a file; raises as `read` does."""
    if files.is_file(name):
        return verified(files, name, sha256=sha256)
    facts = read_facts(files, name, sha256=sha256)
    return verified(files, f"{name}/{MODEL}", sha256=facts["files"][MODEL])


def verified(files: Files, name: str, *, sha256: str | None) -> bytes:
    """Return the content of a file; raises as `read` does."""
    try:
        return files.read(name, sha256=sha256)
    except Damaged as error:
        raise CheckpointUnusable(f"{error}: it is damaged") from None


def copy(
    files: Files, source: str, target: str, *, sha256: str, keep: Literal["weights", "optimizer"]
) -> str:
    """
    Copy a checkpoint, or a file with a network, to a new folder; return the name of the copy.

    Args:
        files: where both lie.
        source: a checkpoint, or a file.
        target: the folder; left as it is if something fails.
        sha256: of the checkpoint's facts, or of the file.
        keep: weights: leave out the optimizer's state.

    Raises:
        Damaged: a file is not what was written.
        OSError: a file does not exist, or cannot be read or written now.
    """
    if files.is_file(source):
        return files.copy(source, f"{target}/{MODEL}", sha256=sha256).path
    sums = json.loads(files.read(f"{source}/{FACTS}", sha256=sha256))["files"]
    for name in (MODEL,) if keep == "weights" else (MODEL, STATE):
        files.copy(f"{source}/{name}", f"{target}/{name}", sha256=sums[name])
    files.copy(f"{source}/{FACTS}", f"{target}/{FACTS}", sha256=sha256)
    return target


def prune(files: Files, folder: str, *, most: int) -> None:
    """
    Delete the checkpoints of a run but the last *most*, and what crashes have left of others.

    Only the process that writes the checkpoints of a run may call it.
    """
    # Those of 0.2.0 were written as ``.draft-step-...`` and renamed.
    names = [name for name in files.entries(folder) if PREFIX in name.rpartition("/")[2]]
    complete = [name for name in names if files.is_file(f"{name}/{FACTS}")]
    delete(files, [name for name in names if name not in complete[-most:]])


def delete(files: Files, names: Sequence[str]) -> None:
    """Delete checkpoints; what cannot be deleted now is left to the next call."""
    for name in names:
        try:
            files.delete(name)
        except OSError:
            continue
