"""The order in which the numbers of images are stored."""

from __future__ import annotations

import pytest
import torch

from optcore.networks.layout import memory_format


@pytest.mark.parametrize(
    ("device", "dtype", "format"),
    [
        ("cpu", torch.float32, torch.channels_last),
        ("cpu", torch.float64, torch.contiguous_format),
        ("cuda", torch.float32, torch.contiguous_format),
    ],
)
def test_channels_are_last_where_it_was_measured(
    device: str, dtype: torch.dtype, format: torch.memory_format
) -> None:
    assert memory_format(torch.device(device), dtype) == format
