"""Clones of finished jobs that go on with the optimizer's state, trained in this process."""

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis
import torch

from optcore.training import loop
from optcore.training.checkpoints.tensors import read
from optcore.training.run import Run
from store.jobs.calls import Claim
from store.jobs.record import Record
from store.redis import keys
from store.settings import Settings
from tests.support.store.protocol import claim, record_of, storage_of
from worker.attempt.attempt import Attempt
from worker.attempt.session import Tools, Train

pytestmark = pytest.mark.anyio

TRIAL = json.loads(
    (Path(__file__).parents[2] / "trials" / "service" / "go-on-after-the-end.json").read_text()
)
CONSTANT: dict[str, Any] = {
    **TRIAL["job"],
    "model": {
        "kind": "sequential",
        "layers": [
            {"kind": "flatten"},
            {"kind": "linear", "out_features": 16},
            {"kind": "relu"},
            {"kind": "dropout", "p": 0.3},
            {"kind": "linear", "out_features": 10},
        ],
    },
    "schedule": {"kind": "constant"},
    "training": {"epochs": 4, "seed": 5, "ema": {"decay": 0.9}},
}


@pytest.fixture
def service(http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path) -> "Service":
    return Service(http, client, tmp_path)


class Service:
    """The API, and a worker in this process."""

    def __init__(self, http: httpx.AsyncClient, client: redis.Redis, home: Path) -> None:
        self.http, self.client, self.home = http, client, home
        (home / "storage").mkdir(exist_ok=True)  # the application makes it when it is first used
        self.storage = storage_of(client, home / "storage")

    async def submitted(self, path: str, body: dict[str, Any]) -> str:
        response = await self.http.post(path, json=body)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def train(self, job_id: str, train: Train = loop.train) -> Record:
        """Train the job, the only one that waits; return its record."""
        claimed = claim(self.client, job_id)
        assert claimed is not None
        assert claimed.id == job_id
        tools = Tools(
            self.client, self.storage, Settings(home=self.home), "cpu", threading.Event(), train
        )
        assert Attempt(Claim("local", job_id, job_id), claimed, tools).train() == "succeeded"
        return record_of(self.client, job_id)

    async def trained(self, spec: dict[str, Any]) -> Record:
        return self.train(await self.submitted("/v1/jobs", spec))

    async def rows(self, record: Record) -> list[tuple[float, float]]:
        """Return lr and loss of each step, also of a job that was archived meanwhile."""
        page = (await self.http.get(f"/v1/jobs/{record.id}/metrics?limit=1000")).json()
        assert [row["step"] for row in page["data"]] == list(range(record.rows))
        return [(row["lr"], row["loss"]) for row in page["data"]]

    async def gone_on(self, parent: Record, **body: Any) -> Record:
        """Return a clone of *parent* with the optimizer's state from its end, trained."""
        body = {"from": "last", "keep": "optimizer", **body}
        return self.train(await self.submitted(f"/v1/jobs/{parent.id}/clone", body))


async def test_a_clone_goes_on_after_the_end_as_the_trial_says(service: Service) -> None:
    parent = await service.trained(TRIAL["job"])
    began: list[Run] = []

    def train(run: Run) -> Any:
        began.append(run)
        slots, counts = run.optimizer.named_slots(), run.optimizer.named_counts()
        last = parent.checkpoints[-1]
        facts, _, state = read(service.storage, last.path, sha256=last.sha256)
        assert last.step == parent.rows == 60
        assert counts == facts["counts"] == dict.fromkeys(counts, 60)
        for slot, by_name in slots.items():
            for name, tensor in by_name.items():
                assert torch.equal(tensor, state[f"optimizer.{slot}.{name}"])
        return loop.train(run)

    path = f"/v1/jobs/{parent.id}/clone"
    clone = service.train(await service.submitted(path, TRIAL["tried"]["clone"]), train)

    expected = TRIAL["expected"]
    lr = [row[0] for row in await service.rows(clone)]
    assert len(began) == 1
    assert clone.rows == clone.total_steps == 60
    np.testing.assert_allclose(lr, expected["lr"], rtol=expected["rtol"], atol=expected["atol"])
    assert lr[0] == pytest.approx(expected["lr_first"], rel=expected["rtol"])


async def test_two_jobs_are_one_longer_job_bit_for_bit(service: Service) -> None:
    """With a constant lr; with dropout, and an order of examples for each epoch."""
    training = {**CONSTANT["training"], "epochs": 8}
    longer = await service.trained({**CONSTANT, "training": training})
    first = await service.trained(CONSTANT)

    second = await service.gone_on(first)

    wanted = await service.rows(longer)
    assert len(wanted) == 120
    assert await service.rows(first) == wanted[:60]
    assert await service.rows(second) == wanted[60:]
    assert second.fields["digest"] == longer.fields["digest"]
    assert second.fields["result"] is not None
    assert second.job().result is not None
    assert longer.job().result is not None
    assert second.job().result.metrics == longer.job().result.metrics  # type: ignore[union-attr]


async def test_a_clone_that_0_2_0_accepted_takes_over_no_more_than_the_optimizer(
    service: Service,
) -> None:
    """Its record has no field for the rest. No worker of 0.2.0 claims one that has it."""
    first = await service.trained(CONSTANT)
    path, body = f"/v1/jobs/{first.id}/clone", {"from": "last", "keep": "optimizer"}
    found = {}
    for name in ("new", "former"):
        job_id = await service.submitted(path, body)
        if name == "former":
            service.client.hdel(keys.JOB % ("local", job_id), "continues")

        def train(run: Run, name: str = name) -> Any:
            found[name] = (run.batches.epoch, run.rows_before)
            return loop.train(run)

        record = service.train(job_id, train)
        assert record.fields["format"] == "3"

    assert found == {"new": (3, 60), "former": (0, 0)}


async def test_the_state_of_a_job_that_stopped_early_goes_on(service: Service) -> None:
    stopping = {"metric": "val_loss", "patience": 1, "min_delta": 10.0}
    first = await service.trained(
        {
            **CONSTANT,
            "dataset": {**CONSTANT["dataset"], "validation": 0.2},
            "training": {**CONSTANT["training"], "early_stopping": stopping},
        }
    )
    assert (first.outcome, first.rows) == ("early_stopped", 26)

    changes = {"training": {"early_stopping": None, "epochs": 1}}
    second = await service.gone_on(first, changes=changes)

    assert second.starting_state is not None
    assert (second.starting_state.step, second.rows, second.outcome) == (26, 13, "completed")
