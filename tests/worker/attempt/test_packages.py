"""A job that names what an installed package adds, from the request to its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from optserve.local.embedded import EmbeddedServer
from tests.optcore.packages.test_example import JOB
from tests.support.optcore.packages import example, install, python
from tests.support.service.packaged import train_next
from tests.support.store.protocol import record_of

SHORT = {**JOB, "training": {**JOB["training"], "steps": 20}}


@pytest.fixture
def seen(client: redis.Redis, server: EmbeddedServer, tmp_path: Path) -> dict[str, Any]:
    """What a service with the package answers about two jobs, of which it trains the first."""
    del client  # it has emptied the server
    install(tmp_path / "installed", example())
    module, jobs = "tests.support.service.packaged", json.dumps([SHORT, SHORT])
    done = python(tmp_path / "installed", "-m", module, server.url, str(tmp_path / "home"), jobs)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_from_the_request_to_the_end_and_elsewhere(
    seen: dict[str, Any], client: redis.Redis, tmp_path: Path
) -> None:
    names = {noun: list(seen[noun]) for noun in ("layers", "models", "datasets")}
    assert names == {"layers": ["snake"], "models": ["periodic_mlp"], "datasets": ["sine"]}
    snake = seen["layers"]["snake"]
    assert snake["package"] == "operators 1.0"
    assert snake["summary"].startswith("The activation x + sin(alpha * x)^2 / alpha")
    (alpha,) = (field for field in snake["fields"] if field["name"] == "alpha")
    assert (alpha["type"], alpha["default"]) == ("number > 0 <= 1000", 1.0)
    assert alpha["description"] == "Initial value of every alpha."
    union = seen["schemas"]["JobSpec"]["properties"]["model"]["discriminator"]["mapping"]
    assert union["periodic_mlp"] == "#/components/schemas/PeriodicMlp"
    assert {"Snake", "PeriodicMlp", "LogCosh", "Sine"} <= seen["schemas"].keys()

    paths = [(layer["name"], layer["num_parameters"]) for layer in seen["plan"]["layers"]]
    assert paths == [("fc1", 64), ("snake", 32), ("fc2", 33)]
    (error,) = seen["refused"]["errors"]
    assert error == {"param": "model.hidden", "message": "hidden must be at least 1, got 0"}

    assert seen["outcome"] == "succeeded"
    done, waiting = seen["jobs"]
    assert done["state"] == "succeeded"
    assert done["result"]["metrics"]["test_rmse"] < 1

    # Here the package is not installed.
    outcome = train_next(client, tmp_path / "home", "other")

    why = (
        "the worker lacks packages that the job needs: operators 1.0 must be installed, got no "
        "such package"
    )
    assert outcome == f"fault: {why}"
    record = record_of(client, waiting["id"])
    assert record.state == "queued"
    assert record.fields["fault"].endswith(why)
