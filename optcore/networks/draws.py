"""
The random numbers of a training step: each depends on what it is for, not on earlier ones.

A layer's numbers are a function of (seed of the run, step, batch of the step, name of the layer).
So a step that is repeated draws the same numbers, in any process, without a saved state::

    key = mixed(mixed(mixed(mixed(0, seed), step), batch), layer)

On a CPU the key is that of numpy's Philox generator; on a GPU it is the seed of a generator of
torch, which is a Philox too.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

MASK = (1 << 64) - 1
NUMPY = {torch.float32: np.float32, torch.float64: np.float64}
"""numpy's types of the dtypes that it has."""
GOLDEN = 0x9E3779B97F4A7C15
"""2 ** 64 divided by the golden ratio: the increment of splitmix64's counter."""


class Draws:
    """
    The random numbers that the layers of one run draw in training.

    Args:
        seed: the seed of the run, from 0 to 2 ** 63 - 1.

    Attributes:
        keyed: whether layers draw from here. If not, they draw from torch's global generators, as
            in releases up to 0.2.0, and a run that resumes needs the saved states of these.
    """

    def __init__(self, seed: int) -> None:
        self.keyed = True
        self._seed = mixed(0, seed)
        self._step, self._batch = 0, 0
        self._philox = np.random.Philox(key=0)
        # Always that of a generator that has drawn nothing: only the key in it is changed.
        self._start = self._philox.state
        self._generators: dict[torch.device, torch.Generator] = {}

    def begin(self, step: int, batch: int) -> None:
        """
        Set what is drawn for next.

        Args:
            step: the number of steps that the run made before, skipped updates included.
            batch: the number of batches of the step whose gradients were accumulated before.
        """
        self._step, self._batch = step, batch

    def mask(self, layer: int, count: int, p: float, *, value: float, like: Tensor) -> Tensor:
        """
        Return *count* numbers for a layer, each 0 with probability *p* and else *value*.

        They are the same ones each time until `begin` is called, and in every dtype. A CPU draws
        the same ones whatever its processor and its number of threads; a GPU draws its own.

        Args:
            layer: the number of the layer, as `number` returns it.
            count: how many numbers, in one dimension.
            p: the probability of 0, below 1; exact to 2 ** -32 on a CPU.
            value: the other number.
            like: a tensor with the dtype and the device of the result.
        """
        # Not mixed in `begin`, which is called for networks that draw nothing, too.
        key = mixed(mixed(mixed(self._seed, self._step), self._batch), layer)
        if like.device.type != "cpu":
            generator = self._generator(like.device).manual_seed(key)
            drawn = torch.empty(count, dtype=torch.bool, device=like.device)
            return drawn.bernoulli_(1 - p, generator=generator).to(like.dtype).mul_(value)
        # Not a torch.Generator: on CPUs only the lower 32 bits of its seed count, so that a run of
        # a million steps would draw 100 masks twice. Setting the key costs the same 1 us.
        self._start["state"]["key"][0] = key
        self._philox.state = self._start
        words = self._philox.random_raw((count + 1) // 2).view(np.int32)[:count]
        passes = words < min(round((1 - p) * 2**32) - 2**31, 2**31 - 1)
        # By numpy, whose calls are shorter: 10 us on 1,000 elements, half of torch's.
        numbers = np.multiply(passes, value, dtype=NUMPY.get(like.dtype, np.float32))
        return torch.from_numpy(numbers).to(like.dtype)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device)
        return self._generators[device]


def number(layer: str) -> int:
    """Return the number of the layer with this name: 64 bits of a hash."""
    return int.from_bytes(blake2b(layer.encode(), digest_size=8).digest(), "little")


def mixed(key: int, word: int) -> int:
    """
    Return a 64-bit key that depends on every bit of *key* and *word*, which are 64-bit numbers.

    For one *key*, different words give different keys: they are outputs of splitmix64.

    References:
        Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014.
    """
    z = (key + (word + 1) * GOLDEN) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)
