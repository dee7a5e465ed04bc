"""
The random numbers that layers such as dropout draw in training.

The numbers of a layer depend only on the seed of the run, the step, the batch of the step and the
name of the layer, not on numbers drawn before. A step that is repeated therefore draws the same
numbers, in any process, without a saved state.

The seed, the step, the batch and a hash of the layer's name are mixed into a key of 64 bits::

    key = mixed(mixed(mixed(mixed(0, seed), step), batch), layer)

On a CPU this key is the key of numpy's Philox generator. On a GPU it is the seed of a generator of
torch, which uses Philox too.
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
        keyed: whether layers draw their numbers from this object. If false, they draw from torch's
            global generators, as in releases up to 0.2.0. A run that resumes then needs the saved
            states of these generators.
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
        Set the step and the batch for which the next numbers are drawn.

        Args:
            step: the number of steps made before this step, including steps without an update.
            batch: the number of batches of this step whose gradients have been accumulated.
        """
        self._step, self._batch = step, batch

    def mask(self, layer: int, count: int, p: float, *, value: float, like: Tensor) -> Tensor:
        """
        Return a tensor of *count* random elements, each 0 with probability *p* and else *value*.

        For one layer, the elements that are 0 stay the same until `begin` is called, and are the
        same in every dtype. They are the same on all CPUs, with any number of threads. A GPU draws
        other elements than a CPU.

        Args:
            layer: the number of the layer, as `number` returns it.
            count: the number of elements; the tensor has one dimension.
            p: the probability of 0, from 0 to below 1; exact to 2 ** -32 on a CPU.
            value: the value of the elements that are not 0.
            like: a tensor with the dtype and the device of the result.
        """
        key = self._key(layer)
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

    def normal(self, layer: int, count: int, *, like: Tensor) -> Tensor:
        """
        Return a tensor of *count* random numbers of mean 0 and standard deviation 1.

        They are drawn from a normal distribution in float64 on a CPU, else in the dtype of *like*.
        Like the elements of `mask`, they stay the same until `begin` is called. The arguments mean
        the same as in `mask`. A layer must not call both methods: both draw from the same key.
        """
        key = self._key(layer)
        if like.device.type != "cpu":
            generator = self._generator(like.device).manual_seed(key)
            return torch.randn(count, dtype=like.dtype, device=like.device, generator=generator)
        numbers = np.random.Generator(np.random.Philox(key=key)).standard_normal(count)
        return torch.from_numpy(numbers).to(like.dtype)

    def _key(self, layer: int) -> int:
        # Not mixed in `begin`, which is called for networks that draw nothing, too.
        return mixed(mixed(mixed(self._seed, self._step), self._batch), layer)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device)
        return self._generators[device]


def number(layer: str) -> int:
    """Return a number for the layer with the name *layer*: 64 bits of the name's hash."""
    return int.from_bytes(blake2b(layer.encode(), digest_size=8).digest(), "little")


def mixed(key: int, word: int) -> int:
    """
    Mix *word* into *key*: return a 64-bit key that depends on every bit of both.

    The result is output number *word* of the generator splitmix64 with the seed *key*. For one
    *key*, different words give different results.

    Args:
        key: a number from 0 to 2 ** 64 - 1.
        word: a number from 0 to 2 ** 64 - 1.

    References:
        Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014.
    """
    z = (key + (word + 1) * GOLDEN) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)
