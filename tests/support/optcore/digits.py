"""Images that stand for MNIST's digits, which may not be here."""

from __future__ import annotations

import torch

from optcore.data.examples import Dataset, Examples


def some_digits() -> Dataset:
    """Return 60 training and 20 test images of noise, as large as MNIST's digits, and classes."""
    generator = torch.Generator().manual_seed(9)

    def some(number: int) -> Examples:
        images = torch.zeros(number, 1, 28, 28, dtype=torch.uint8)
        noise = torch.randint(0, 256, (number, 1, 20, 14), generator=generator)
        images[..., 4:24, 6:20] = noise.to(torch.uint8)
        return Examples(images, torch.arange(number) % 10)

    return Dataset(some(60), some(20))
