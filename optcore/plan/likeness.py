"""A digest that is equal for jobs whose steps take equally long on the same machine."""

from __future__ import annotations

from functools import lru_cache

from optcore.plan.facts import digest
from optcore.spec.networks.network import Network
from optcore.spec.run import RunSpec

OF_THE_LOOP = ("precision", "accumulate", "loss", "columns", "metrics", "clip", "lookahead", "ema")
"""Fields of training that a step's time depends on."""


def likeness(run: RunSpec) -> str:
    """
    Return a digest of the fields that determine how long a step of *run* takes.

    The fields are the network, the dataset and its batches, the kind and engine of the optimizer,
    the number of parameters in each group, the frozen parameters, the fields of ``training`` that
    `OF_THE_LOOP` lists, and the intervals between evaluations and between checkpoints. The digest
    does not depend on the values of hyperparameters, on the schedules and on the seed.
    """
    training = run.training.model_dump(mode="json", include=set(OF_THE_LOOP))
    # In steps, since one job may give in epochs what another one gives in steps.
    intervals = {
        name: None if every is None else max(1, run.length.steps(every))
        for name, every in (
            ("evaluate", run.training.evaluate_every),
            ("checkpoint", run.training.checkpoint_every),
        )
    }
    return digest(
        {
            "network": _network(run.network),
            "dataset": run.dataset.model_dump(mode="json"),
            "groups": [
                [group.spec.kind, group.spec.dialect, group.spec.engine, len(group.names)]
                for group in run.groups()
            ],
            # Not where there are none: digests of earlier jobs stay as they are.
            **({"frozen": sorted(run.frozen)} if run.frozen else {}),
            "training": {name: training.get(name) for name in OF_THE_LOOP},
            **intervals,
        }
    )


# Most jobs have one of a few networks.
@lru_cache(maxsize=64)
def _network(network: Network) -> str:
    return digest([layer.model_dump(mode="json", exclude={"name"}) for layer in network.layers])
