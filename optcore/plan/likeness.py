"""Which jobs are alike: a step of one takes as long as a step of another on the same machine."""

from __future__ import annotations

from functools import lru_cache

from optcore.plan.facts import digest
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.run import RunSpec

OF_THE_LOOP = ("precision", "accumulate", "loss", "columns", "metrics", "clip", "lookahead", "ema")
"""Fields of training that a step's time depends on."""


def likeness(run: RunSpec) -> str:
    """
    Return a digest of what determines how long a run takes, besides its number of steps.

    These are the network, the dataset and its batches, the kinds of the optimizer and the sizes of
    its groups, the precision, and how often the run is evaluated and saved. Values of
    hyperparameters, schedules and the seed are not among them.
    """
    training = run.training.model_dump(mode="json", include=set(OF_THE_LOOP))
    intervals = {
        name: None if every is None else max(1, run.length.steps(every))
        for name, every in (
            ("evaluate", run.training.evaluate_every),
            ("checkpoint", run.training.checkpoint_every),
        )
    }
    return digest(
        {
            "network": _network(run.network.layers),
            "dataset": run.dataset.model_dump(mode="json"),
            "groups": [
                [group.spec.kind, group.spec.dialect, group.spec.engine, len(group.names)]
                for group in run.groups()
            ],
            "training": {name: training.get(name) for name in OF_THE_LOOP},
            **intervals,
        }
    )


# Most jobs have one of a few networks.
@lru_cache(maxsize=64)
def _network(layers: tuple[AnyLayer, ...]) -> str:
    return digest([layer.model_dump(mode="json", exclude={"name"}) for layer in layers])
