"""The facts besides the spec that determine the last bits of a run."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

LAYOUT = 2
"""
Incremented whenever a change of this library changes the last bits (layout of buffers, order of
sums).

2: images lie channels last where oneDNN convolves (a dropout on images draws its mask in that
order); RMSprop on torch's Adam kernel.
"""
CHOSEN = ("engine", "memory_format", "threads")
"""Facts that a run chooses when it starts; any machine can set them up to resume it."""


def machine_facts(device: torch.device) -> dict[str, str]:
    """Return the facts of this machine and its libraries that determine bits on *device*."""
    facts = {
        "layout": str(LAYOUT),
        "torch": torch.__version__,
        "numpy": np.__version__,  # schedules and the order of the examples are numpy's
        "machine": platform.machine(),
        "processor": processor(),
        "cpu": torch.backends.cpu.get_cpu_capability(),  # the instruction set of torch's kernels
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


def run_facts(
    device: torch.device, *, engine: str, memory_format: torch.memory_format
) -> dict[str, str]:
    """
    Return the facts that must be equal for two runs of one spec to give equal bits.

    Args:
        device: of the training.
        engine: of the optimizer.
        memory_format: of images.
    """
    chosen = {
        "engine": engine,
        "memory_format": str(memory_format).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),  # they divide sums among them
    }
    return {**machine_facts(device), **chosen}


def fingerprint(facts: Mapping[str, str]) -> str:
    """Return a digest of the facts that a machine cannot change; if it is equal, bits are."""
    fixed = {name: value for name, value in facts.items() if name not in CHOSEN}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]


def processor() -> str:
    """Return the name of the processor: kernels of one instruction set differ by its caches."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    # On Arm there is no such line.
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
