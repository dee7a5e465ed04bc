"""Schedules recorded from the frameworks themselves, read from tests/golden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import optcore
from tests.support.optcore.goldens import GOLDEN_DIR, Case
from tests.support.optcore.schedule_words import Translated, translated

FRAMEWORKS = (
    "paddleocr",
    "paddle",
    "mindspore",
    "keras",
    "torch",
    "tf1",
    "transformers",
    "optax",
    "timm",
)


class Recorded(NamedTuple):
    """
    A recorded trajectory of lr.

    Attributes:
        framework: the framework, which may be a part of one.
        case: the case as it stands in the file.
    """

    framework: str
    case: Case

    @property
    def precision(self) -> str:
        """Of the framework's arithmetic."""
        if self.case.get("dtype") == "float32":
            return "float32"
        # With jax_enable_x64 too, optax divides the step, an int32, in float32.
        lr = np.asarray(self.case["lr"])
        single = self.framework == "optax" and (lr.astype(np.float32) == lr).all()
        return "float32" if single else "float64"

    @property
    def follows_metric(self) -> bool:
        """Whether values of a metric were given to the schedule."""
        return "metrics" in self.case

    @property
    def per_metric(self) -> int:
        """How many of the recorded lrs lie between two values of the metric."""
        return int(self.case.get("updates_per_epoch", 1))

    @property
    def lr(self) -> NDArray[np.float64]:
        """What the framework gave: of float32, the shortest text was kept."""
        return np.asarray(self.case["lr"], self.precision).astype(np.float64)

    def translate(self) -> Translated:
        """Return the case in our words."""
        case = self.case
        steps = len(case.get("lr", [0]))
        found = translated(
            self.framework,
            case["schedule"],
            dict(case["params"]),
            drive=case["drive"],
            steps=steps,
            single=case.get("dtype") == "float32",
            per_epoch=case.get("updates_per_epoch", 1),
        )
        if self.framework == "tf1":
            return found._replace(spec={**found.spec, "precision": self.precision})
        return found

    def make(self, total_steps: int | None = None) -> Any:
        """Return its schedule, of as many steps as were recorded unless told."""
        found = self.translate()
        return optcore.make_schedule(
            found.spec,
            lr=found.lr,
            total_steps=total_steps or found.total_steps(len(self.case["lr"])),
            steps_per_epoch=found.steps_per_epoch,
        )


def recorded() -> list[Recorded]:
    """Return the recorded schedules of all frameworks in `GOLDEN_DIR`."""
    found = []
    for path in sorted(Path(GOLDEN_DIR).glob("schedules_*.json")):
        family = json.loads(path.read_text())
        name = path.stem.removeprefix("schedules_")
        framework = next(f for f in FRAMEWORKS if name.startswith(f))
        assert family.get("n_cases", len(family["cases"])) == len(family["cases"]), path
        found += [Recorded(framework, case) for case in family["cases"]]
    return found
