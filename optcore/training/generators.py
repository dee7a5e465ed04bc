"""
Seeds, saves and restores the global random generators.

A run draws its initial weights from torch's. Its layers draw from `optcore.networks.draws`, except
in runs that began under release 0.2.0: for these, checkpoints hold the states of the generators.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seed torch (CPU and GPUs), numpy and Python."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # numpy accepts no larger seeds


def generator_tensors() -> dict[str, Tensor]:
    """Return the state of torch's generator for each device: ``cpu``, ``cuda.0``, ..."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states.update(
            {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
        )
    return states


def restore_generator_tensors(states: Mapping[str, Tensor]) -> None:
    """Restore the *states* of torch's generators that `generator_tensors` returned."""
    torch.set_rng_state(states["cpu"])
    if torch.cuda.is_available():
        for name, state in states.items():
            if name.startswith("cuda."):
                torch.cuda.set_rng_state(state, int(name.removeprefix("cuda.")))


def generator_words() -> dict[str, Any]:
    """Return the states of Python's and numpy's global generators, as JSON types."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
    }


def restore_generator_words(states: dict[str, Any]) -> None:
    """Restore the *states* of Python's and numpy's generators from `generator_words`."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.asarray(keys, np.uint32), *rest))
