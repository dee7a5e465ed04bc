"""Trainers that leave the states of random number generators out of their checkpoints."""

from __future__ import annotations

from tests.support.strange import put, train, work


def _change() -> None:
    from optcore.training.checkpoints import checkpoint  # noqa: PLC0415  not in the worker

    put(
        checkpoint,
        restore_generator_tensors=lambda states: None,
        restore_generator_words=lambda words: None,
    )


def main(device: str, hears: int, says: int) -> None:
    """Be a trainer."""
    train(_change, device, hears, says)


if __name__ == "__main__":
    work("no_generators")
