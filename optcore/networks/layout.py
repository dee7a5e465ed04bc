"""How images are stored in memory, and which of two algorithms computes convolutions."""

from __future__ import annotations

import torch


def memory_format(device: torch.device, dtype: torch.dtype) -> torch.memory_format:
    """
    Return the memory format for images of *dtype* on *device*.

    It is channels last for float32 on a CPU with oneDNN, whose convolutions are then 1.8 times as
    fast. In all other cases it is torch's default, channels first.
    """
    # The format is part of a run's fingerprint (`Run.facts`), since convolutions round differently
    # with it. After a change here, no worker has the fingerprint of a run that was saved before.
    onednn = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    if device.type == "cpu" and dtype == torch.float32 and onednn:
        return torch.channels_last
    return torch.contiguous_format


def takes_taps(device: torch.device, dtype: torch.dtype) -> bool:
    """
    Return whether convolutions of many channels over few pixels are computed as matrix products.

    `optcore.networks.taps` computes these convolutions as sums of matrix products. It does so in
    place of oneDNN, which is slower for such shapes.
    """
    return memory_format(device, dtype) == torch.channels_last
