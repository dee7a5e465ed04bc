"""
Seed, save and restore the global random generators of torch, numpy and Python.

The initial weights of a run are drawn from torch's global generator. Layers draw their random
numbers from `optcore.networks.draws`. In runs that began under a release up to 0.2.0, they draw
from the global generators instead, so that checkpoints of these runs need the generators' states.
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
    """Return device -> state of torch's generator, for the devices ``cpu``, ``cuda.0``, ..."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states.update(
            {f"cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
        )
    return states


def restore_generator_tensors(states: Mapping[str, Tensor]) -> None:
    """Restore torch's generators to the *states* that `generator_tensors` returned."""
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
    """Restore Python's and numpy's generators to the *states* from `generator_words`."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.asarray(keys, np.uint32), *rest))
