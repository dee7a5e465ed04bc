"""
Convert every recipe below a folder, and print the results by framework.

The folder contains a folder for each framework, named as in ``optserve convert --from``. The
recipes in it are other people's and not part of this repository. Equal files count once.

With --curves, the lr of every step of each exact recipe is written to a file, which
benchmarks/recipes_against.py compares with the framework's own classes, in an environment that has
them.

Usage: python -m benchmarks.recipes FOLDER [--reasons N] [--curves FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from optcore.recipes.conversion import Conversion
from optcore.recipes.convert import convert_file
from optcore.recipes.detection import UnclearFile
from optcore.schedules.make import make_schedule

SUFFIXES = {".yml", ".yaml", ".json", ".sh", ".txt"}
STEPS_PER_EPOCH = 13
"""Number of steps per epoch in the curves: few, since recipes have hundreds of epochs."""
MOST_STEPS = 20_000
ABOUT = ("optimizer", "Optimizer", "opt", "lr", "learning_rate", "lr_scheduler", "sched")
"""Keys: a file that describes an optimization has at least one of these."""


@dataclass
class Tally:
    """The results for the recipes of one framework."""

    exact: int = 0
    refused: int = 0
    not_about: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def about(self) -> int:
        """The number of files that describe an optimization."""
        return self.exact + self.refused


def main() -> None:
    """Convert the recipes, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reasons", type=int, default=5, help="reasons to list per framework")
    parser.add_argument("--curves", type=Path, help="write the lr of every step to this file")
    given = parser.parse_args()
    tallies: dict[str, Tally] = {}
    curves: list[dict[str, Any]] = []
    for folder in sorted(each for each in given.folder.iterdir() if each.is_dir()):
        tally = tallies[folder.name] = Tally()
        for path in _files(folder):
            converted = _tallied(path, folder.name, tally)
            if converted is not None and given.curves:
                curves += _curve(path, converted)
    _print(tallies, given.reasons)
    if given.curves:
        given.curves.write_text(json.dumps(curves))


def _files(folder: Path) -> Iterator[Path]:
    seen = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix in SUFFIXES and path.is_file() and path.read_bytes() not in seen:
            seen.add(path.read_bytes())
            yield path


def _tallied(path: Path, source: str, tally: Tally) -> Conversion | None:
    try:
        converted = convert_file(path, source)
    except UnclearFile:
        tally.not_about += 1
        return None
    if not _is_about(converted.config):
        tally.not_about += 1
        return None
    refused = [entry for entry in converted.entries if entry.fate == "refused"]
    if not converted.problems:
        tally.exact += 1
        return converted
    tally.refused += 1
    for reason in {f"{entry.path} {entry.reason}" for entry in refused} or {"the job is refused"}:
        tally.reasons[reason] += 1
    return None


def _is_about(config: Mapping[str, Any]) -> bool:
    nested = [value for value in config.values() if isinstance(value, Mapping)]
    return any(key in each for each in (config, *nested) for key in ABOUT)


def _curve(path: Path, converted: Conversion) -> Iterator[dict[str, Any]]:
    training, optimizer = converted.job.get("training", {}), converted.job.get("optimizer", {})
    schedule = converted.job.get("schedule", {"kind": "constant"})
    total = training.get("steps") or round(training.get("epochs", 10) * STEPS_PER_EPOCH)
    if total > MOST_STEPS or "lr" not in optimizer:
        return
    try:
        curve = make_schedule(
            schedule, lr=optimizer["lr"], total_steps=total, steps_per_epoch=STEPS_PER_EPOCH
        )
    except ValueError as error:  # for example a warmup of 500 steps in a run of 400
        print(f"{path}: {error}", file=sys.stderr)
        return
    yield {
        "path": str(path),
        "source": converted.source,
        "config": converted.config,
        "total": total,
        "steps_per_epoch": STEPS_PER_EPOCH,
        "lr": np.asarray(curve(np.arange(total))).tolist(),
    }


def _print(tallies: Mapping[str, Tally], most: int) -> None:
    print("| framework | files | exact | refused | exact, % | not about the optimization |")
    print("|---|---|---|---|---|---|")
    whole = Tally()
    for name, tally in tallies.items():
        _row(name, tally)
        whole.exact += tally.exact
        whole.refused += tally.refused
        whole.not_about += tally.not_about
    _row("all", whole)
    for name, tally in tallies.items():
        for reason, number in tally.reasons.most_common(most):
            print(f"{name}: {number} x {reason}")


def _row(name: str, tally: Tally) -> None:
    share = 100 * tally.exact / tally.about if tally.about else 0.0
    files = tally.about + tally.not_about
    print(
        f"| {name} | {files} | {tally.exact} | {tally.refused} | {share:.1f} | {tally.not_about} |"
    )


if __name__ == "__main__":
    main()
