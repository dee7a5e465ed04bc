"""Trainers that leave the running statistics of BatchNorm out of their checkpoints."""

from __future__ import annotations

from typing import Any

from tests.support.strange import put, train, work


def _change() -> None:
    from torch import nn  # noqa: PLC0415  not in the worker

    from optcore.training.checkpoints import checkpoint  # noqa: PLC0415

    restore = checkpoint.restore

    def forgetful(run: Any, *where: Any, **options: Any) -> Any:
        facts = restore(run, *where, **options)
        for module in run.model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.reset_running_stats()
        return facts

    put(checkpoint, restore=forgetful)


def main(device: str, hears: int, says: int) -> None:
    """Be a trainer."""
    train(_change, device, hears, says)


if __name__ == "__main__":
    work("no_statistics")
