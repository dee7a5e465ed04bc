"""The base of the optimizers whose state may be kept in 8 bits, as in bitsandbytes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from optcore.spec.base import per_dialect
from optcore.spec.errors import reject
from optcore.spec.layers.base import Shape
from optcore.spec.optimizers.cautious import CautiousSpec

CODE_BITS = 8
"""Value of ``state_bits`` for a code in place of each float32 number of a slot."""
SMALLEST = 4096
"""A parameter with fewer elements keeps float32 slots (``min_8bit_size`` of bitsandbytes)."""
EMBEDDINGS = frozenset({"Embedding", "embedding"})
"""Types of modules whose parameters `embeddings_32bit` concerns."""


class StateBitsSpec(CautiousSpec):
    """
    The base of the optimizers whose slots (means of gradients) bitsandbytes can keep in 8 bits.

    A state_bits of 8 stores each slot in 8 bits per element, if the parameter has 4096 elements or
    more. The elements form blocks of 256. Each block stores the largest absolute value of its
    elements, and each element stores the 8-bit index (code) of a number in a fixed map::

        s = map[code] * largest                                       before the update, in float32
        largest = max(abs(s)) over the block                          after the update
        code = index of the number in map nearest to s / largest      after the update

    A map has 256 numbers: 0, 1, and those of seven ranges, numbered e = 0 to 6. For range e, the
    interval from 0.1 to 1 is divided into equal parts, and the middle of each part is multiplied by
    10 ** (e - 6). The map has 2 ** e parts in range e, and each of their numbers with both signs.
    The map of a slot that is never negative has 2 ** (e + 1) parts in range e.

    References:
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, 2022, section 2.
        https://arxiv.org/abs/2110.02861
        bitsandbytes 0.50.2
    """

    DECAYS_LAST: ClassVar[bool] = False
    """Whether the CUDA kernels of bitsandbytes apply the weight decay after the step."""
    ROUNDS_LR: ClassVar[bool] = False
    """Whether the CUDA kernel for 8 bits rounds lr to the dtype of the parameter."""

    state_bits: Literal[8, 32] = per_dialect({"bitsandbytes": 32})
    """Bits per element of the slots: 32, or 8 in parameters with 4096 elements or more. Slots of 32
    bits and all operations are float32, also for bfloat16 and float16 parameters."""
    embeddings_32bit: bool = per_dialect({"bitsandbytes": False})
    """Whether the parameters of embeddings keep 32-bit slots although state_bits is 8, as in
    transformers' Trainer."""
    backend: Literal["cuda", "cpu"] = per_dialect({"bitsandbytes": "cuda"})
    """Which kernels of bitsandbytes are followed, on any device. cuda: hyperparameters are rounded
    to float32; codes are nearest, and no negative value gets the code of 0; AdamW decays after the
    step. cpu: numbers are double; codes come from a table of 65,536 equal parts of -1 to 1, which
    merges all values below 1.5e-5 * largest; AdamW decays before the step."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters that are numbers, without state_bits."""
        numbers = super().hyperparameters()
        numbers.pop("state_bits", None)
        return numbers

    def rounded(self, *, single_precision: bool) -> frozenset[str]:
        """
        Return the names of the hyperparameters that the dialect's kernel takes as float32.

        The CUDA kernels of bitsandbytes take all hyperparameters as float32 for float32 tensors.
        """
        if self.of_bitsandbytes and self.backend == "cuda" and single_precision:
            return frozenset(self.hyperparameters())
        return super().rounded(single_precision=single_precision)

    @property
    def of_bitsandbytes(self) -> bool:
        """Whether the dialect is bitsandbytes."""
        return self.dialect == "bitsandbytes"

    @property
    def in_float32(self) -> bool:
        """Whether 16-bit parameters are updated in float32; always true in dialect bitsandbytes."""
        return self.multi_precision or self.of_bitsandbytes

    @property
    def as_cuda(self) -> bool:
        """Whether the CUDA kernels of bitsandbytes are followed."""
        return self.of_bitsandbytes and self.backend == "cuda"

    def overridden(self, overrides: Mapping[str, Any]) -> Self:
        """
        Return a copy of this spec without groups, in which *overrides* replace fields.

        With a state_bits of 32 in *overrides*, embeddings_32bit is false.
        """
        if overrides.get("state_bits", CODE_BITS) != CODE_BITS:
            overrides = {"embeddings_32bit": False, **overrides}
        return super().overridden(overrides)

    @model_validator(mode="after")
    def _as_bitsandbytes_has_it(self) -> Self:
        if not self.of_bitsandbytes:
            return self
        if self.cautious:
            reject(
                ["cautious"],
                "cautious must be false in dialect bitsandbytes, which lacks cautious steps, got "
                "true",
                True,
            )
        if self.embeddings_32bit and self.state_bits != CODE_BITS:
            reject(
                ["embeddings_32bit"],
                "embeddings_32bit must be false if state_bits is 32, since embeddings then have 32 "
                "bits like all parameters, got true",
                True,
            )
        return self

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*."""
        whole = super().state_bytes(shape)
        if self.state_bits == CODE_BITS and prod(shape) >= SMALLEST:
            # A byte for each number, and a float32 for each block of 256.
            return whole // 4 + whole // 256
        return whole
