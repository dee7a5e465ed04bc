"""The number of bits that a language model needs for a byte of text."""

from __future__ import annotations

import math
from typing import ClassVar

from optcore.metrics.perplexity import Likelihood


class BitsPerByte(Likelihood):
    """
    The mean of -log2(probability) per token, divided by the mean number of bytes in a token.

    Unlike perplexities, these values can be compared between models with different tokens.
    """

    NAME: ClassVar[str] = "bits_per_byte"

    def value(self) -> float:
        """Return the bits per byte over all tokens."""
        return super().value() / math.log(2) / self.subject.bytes_per_token
