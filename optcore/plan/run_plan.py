"""
The plan of a run: what follows from its spec and the facts about its dataset.

The plan is computed once, when a job is accepted. A part of it (`StoredPlan`) is stored with the
spec, so that the worker need not compute it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from optcore.plan.facts import DatasetFacts
from optcore.plan.likeness import likeness
from optcore.plan.memory.memory import Memory
from optcore.plan.stored_groups import read_groups, stored_groups
from optcore.spec.groups.resolve import ResolvedGroup
from optcore.spec.networks.network import LayerSummary
from optcore.spec.run import RunSpec

VERSION = 1
"""Version of the form in which plans are stored; plans of other versions are resolved again."""
MAX_STORED_GROUPS = 600
"""Largest number of characters that the groups of a stored plan may take; larger ones are left out,
and resolved again for the run."""
SMALLEST_GROUP = 10
"""Length of the shortest stored group: its braces, its positions and a comma."""
as_text = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True)
class RunPlan:
    """
    What a run will do, resolved from its spec.

    Attributes:
        facts: the facts about the dataset.
        total_steps: number of steps in the run.
        steps_per_epoch: number of steps in an epoch.
        layers: output shape, parameters and cost of each layer.
        groups: the groups of parameters, each parameter in one of them.
        memory: the memory that the run takes.
    """

    facts: DatasetFacts
    total_steps: int
    steps_per_epoch: int
    layers: tuple[LayerSummary, ...]
    groups: tuple[ResolvedGroup, ...]
    memory: Memory

    @classmethod
    def of(cls, run: RunSpec) -> RunPlan:
        """Return the plan of *run*."""
        return cls(
            DatasetFacts.of(run.dataset),
            run.total_steps,
            run.steps_per_epoch,
            run.layers,
            tuple(run.groups()),
            Memory.of(run),
        )

    @property
    def num_parameters(self) -> int:
        """Number of elements in all parameters of the network, including frozen parameters."""
        return sum(layer.copies * layer.num_parameters for layer in self.layers)

    @property
    def flops(self) -> int:
        """Floating-point operations of the forward pass for one example."""
        return sum(layer.copies * layer.flops for layer in self.layers)


@dataclass(frozen=True)
class StoredPlan:
    """
    The part of a plan that is stored with a job.

    Attributes:
        version: version of the form in which the plan is stored; see `VERSION`.
        dataset: digest of the facts about the dataset.
        memory_bytes: the largest number of bytes that the run takes at a time, with the dataset.
        like: digest that jobs with equally long steps have in common; see `likeness`.
        groups: the groups of parameters, as `stored_groups` returns them; None if their text would
            be too long to store.
    """

    version: int
    dataset: str
    memory_bytes: int
    like: str
    groups: list[dict[str, Any]] | None

    @classmethod
    def of(cls, run: RunSpec) -> StoredPlan:
        """Return the plan of *run*, in the form in which plans are stored."""
        groups = stored_groups(run) if _may_be_small(run) else None
        return cls(
            VERSION,
            DatasetFacts.of(run.dataset).digest,
            Memory.of(run).total,
            likeness(run),
            groups if len(as_text(groups)) <= MAX_STORED_GROUPS else None,
        )

    @classmethod
    def read(cls, text: str) -> StoredPlan | None:
        """
        Return the plan that *text* encodes.

        If another release wrote *text* in another form, the result is None.
        """
        version, *stored = json.loads(text)
        return cls(version, *stored) if version == VERSION else None

    def text(self) -> str:
        """Return the attributes as a JSON array, for `read` and for the Lua function `finish`."""
        # Without names: a queued job with its plan takes at most 4 KB.
        stored = [self.version, self.dataset, self.memory_bytes, self.like, self.groups]
        return as_text(stored)

    def resolved(self, run: RunSpec) -> RunSpec:
        """
        Return *run*, the run that this plan was made for, with the stored groups.

        If no groups are stored, *run* is returned unchanged, and resolves its groups itself.
        """
        if self.groups is None:
            return run
        return run.with_groups(read_groups(self.groups, run))

    def mismatch(self, found: DatasetFacts) -> str:
        """Return how the dataset *found* differs from the planned one; an empty text if it fits."""
        if found.digest == self.dataset:
            return ""
        train, validation, test = found.sizes
        return (
            f"{found.kind} must be the dataset that the job was accepted for, with digest "
            f"{self.dataset}, got one with digest {found.digest} ({train} training, {validation} "
            f"validation and {test} test examples)"
        )


def _may_be_small(run: RunSpec) -> bool:
    """
    Return whether the text of the groups of *run* may be short enough to be stored.

    If the result is false, the text would be too long or contain schedules, so it is not made.
    """
    # A schedule may have a million values, and would be written once for each group.
    groups = run.groups()
    with_schedules = any(
        group.spec.schedules for group in groups if group.spec is not run.optimizer
    )
    return len(groups) * SMALLEST_GROUP <= MAX_STORED_GROUPS and not with_schedules
