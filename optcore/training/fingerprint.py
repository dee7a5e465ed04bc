"""What, besides the spec, decides the last bits of a run."""

from __future__ import annotations

import platform

import numpy as np
import torch

LAYOUT = 2
"""Raised whenever a change of ours gives other last bits (layout of buffers, order of sums).

2: images lie channels last where oneDNN convolves (a dropout on images draws its mask in that
order); RMSprop on torch's Adam kernel."""


def fingerprint(
    *, device: torch.device, engine: str, memory_format: torch.memory_format
) -> dict[str, str]:
    """
    Return the facts that must be equal for two runs of one spec to give equal bits.

    Args:
        device: what is trained on.
        engine: what computes the updates.
        memory_format: how images lie in memory.
    """
    facts = {
        "layout": str(LAYOUT),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "engine": engine,
        "memory_format": str(memory_format).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "onednn": str(torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "device": device.type,
    }
    if device.type == "cuda":
        facts |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            "tf32": torch.backends.cuda.matmul.fp32_precision,
        }
    return facts
