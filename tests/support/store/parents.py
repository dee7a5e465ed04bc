"""Jobs that left files behind: checkpoints, a best state, a network."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import redis

from store.jobs import calls
from store.jobs.calls import Claim
from store.redis.functions import send
from store.storage.names import BEST, MODEL, attempt_folder
from store.storage.storage import Storage
from store.storage.usable import require_usable
from tests.support.store.protocol import append, begin, some_rows, submit


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Parent:
    """A job that runs and has kept states, whose files hold anything."""

    def __init__(
        self, client: redis.Redis, root: Path, job_id: str | None = None, **changes: Any
    ) -> None:
        self.client, self.root = client, root
        root.mkdir(exist_ok=True)
        require_usable(client, Storage(root))  # a worker has used it
        self.id = submit(client, **changes) if job_id is None else job_id
        self.held: Claim = begin(client)
        append(client, self.held, 0, some_rows(0, 9))

    @property
    def path(self) -> str:
        """Where its clones are posted."""
        return f"/v1/jobs/{self.id}/clone"

    def files(self, name: str) -> tuple[str, str]:
        """Write a checkpoint; return its path and the SHA-256 of its facts."""
        folder = self.root / "jobs" / "local" / self.id / "1-t1" / "checkpoints" / name
        folder.mkdir(parents=True)
        parts = {f"{part}.safetensors": f"{part} of {name}".encode() for part in ("model", "state")}
        for file, content in parts.items():
            (folder / file).write_bytes(content)
        facts = json.dumps({"files": {file: sha(content) for file, content in parts.items()}})
        (folder / "state.json").write_text(facts)
        return str(folder.relative_to(self.root)), sha(facts.encode())

    def checkpointed(self, *steps: int) -> None:
        """Make a checkpoint after each of *steps*."""
        for step in steps:
            path, digest = self.files(f"step-{step}")
            call = calls.checkpointed(self.held, step=step, path=path, sha256=digest, digest="d")
            send(self.client, call)

    def best_kept(self, step: int) -> None:
        """Keep the state after *step* as the best."""
        path, digest = self.files(f"best-{step}")
        call = calls.best_kept(
            self.held, step=step, path=path, sha256=digest, metric="test_loss", value=0.5
        )
        send(self.client, call)

    def succeeded(
        self,
        network: bytes = b"the network",
        *,
        best: bytes | None = None,
        final_state: bool = False,
    ) -> None:
        """End it after ten steps, with these networks, and with a checkpoint of its last step."""
        append(self.client, self.held, 9, some_rows(9, 1))
        if final_state:
            self.checkpointed(10)
        folder, storage = attempt_folder("local", self.id, 1, "t1"), Storage(self.root)
        artifacts = {MODEL: asdict(storage.put(f"{folder}/{MODEL}", network))}
        if best is not None:
            artifacts[BEST] = asdict(storage.put(f"{folder}/{BEST}", best))
        result = {"test_loss": 1.0, "test_accuracy": 0.5}
        send(
            self.client,
            calls.finish(self.held, rows=10, digest="d", result=result, artifacts=artifacts),
        )
