"""The fingerprint: the facts besides the spec that determine a run's results bit for bit."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from optcore.networks.taps import TAPS
from optcore.plan.memory.memory import EVALUATED_TOGETHER

LAYOUT = 2
"""
A number that is incremented whenever a change to this library changes the last bits of results
(layout of buffers, order of sums).

Since number 2, images are stored channels last where oneDNN computes convolutions, and RMSprop uses
torch's Adam kernel.

A change to some runs only, after which a run that has begun can still be computed as before, is a
fact of `CHOSEN` instead: the fact ``draws`` since dropout draws from `optcore.networks.draws`,
``spans`` since engines update ranges of memory that end on 128 bytes, ``convolutions`` since some
convolutions are sums of matrix products (`optcore.networks.taps`), and ``evaluation``, the number
of examples in a batch of an evaluation, since it depends on the memory that a plan expects
(`optcore.plan.memory.memory.evaluated`): that estimate may change.
"""
CHOSEN = (
    *("engine", "memory_format", "threads", "draws", "spans", "convolutions"),
    *("evaluation", "data", "packages"),
)
"""
Names of facts chosen when a run starts. Any machine can adopt these to resume the run.

The fact ``data`` is the SHA-256 of a file that the spec does not determine (the dataset text); a
worker with another file of the same name does not resume the run. The fact ``packages`` lists the
installed packages whose layers, losses, ... the run has, with their versions; a worker with others
gives the job back.
"""
KEYED = "keyed"
"""
The fact ``draws`` of a run whose layers draw from `optcore.networks.draws`.

Runs without such layers have no fact of this name. Neither have runs that draw from torch's global
generators, as in releases up to 0.2.0; there, a dropout on images draws its mask in the order in
which the images are stored.
"""
ALIGNED = "aligned"
"""
The fact ``spans`` of a run whose updates run over ranges of memory that end on 128 bytes
(`optcore.optimizers.engine.memory.segments`).

Runs that began before have no fact of this name, and neither have runs that 0.2.0 may continue
(`optcore.spec.former.runs.may_be_former`): their ranges end with the last element. Nor has lbfgs.
"""


def machine_facts(device: torch.device) -> dict[str, str]:
    """Return the facts about this machine and its libraries that affect results on *device*."""
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
    device: torch.device,
    *,
    engine: str,
    memory_format: torch.memory_format,
    keyed: bool = False,
    aligned: bool = False,
    taps: bool = False,
    evaluated: int = EVALUATED_TOGETHER,
    data: str = "",
    packages: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """
    Return the facts on which the last bits of a run's results depend, besides its spec.

    Two runs with equal specs and equal facts give the same results bit for bit.

    Args:
        device: the device that the run trains on.
        engine: the name of the optimizer's engine.
        memory_format: the memory format of images.
        keyed: whether the network has layers that draw random numbers, and these layers draw from
            `optcore.networks.draws`.
        aligned: whether updates run over ranges of memory that end at a multiple of 128 bytes.
        taps: whether the network may compute convolutions as sums of matrix products.
        evaluated: the number of examples in a batch of an evaluation.
        data: SHA-256 of the dataset's file; empty if the spec determines the examples.
        packages: name -> version of the installed packages that the spec needs.
    """
    chosen = {
        "engine": engine,
        "memory_format": str(memory_format).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),  # each computes a part of a sum
        **({"draws": KEYED} if keyed else {}),
        **({"spans": ALIGNED} if aligned else {}),
        **({"convolutions": TAPS} if taps else {}),
        **({"evaluation": str(evaluated)} if evaluated != EVALUATED_TOGETHER else {}),
        **({"data": data} if data else {}),
        **({"packages": ", ".join(f"{n} {v}" for n, v in packages.items())} if packages else {}),
    }
    return {**machine_facts(device), **chosen}


def fingerprint(facts: Mapping[str, str]) -> str:
    """
    Return a digest of the facts that are fixed by a machine and its libraries.

    The other facts, those in `CHOSEN`, are left out: any machine can adopt their values from
    another run. Machines with equal digests can therefore give the same results bit for bit.
    """
    fixed = {name: value for name, value in facts.items() if name not in CHOSEN}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]


def processor() -> str:
    """
    Return the name of the processor.

    The name is one of the facts, in addition to the instruction set, since kernels depend on the
    sizes of the processor's caches.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    # On Arm there is no such line.
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
