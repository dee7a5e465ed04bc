"""
Every optimizer on 12.6M parameters in 57 tensors: memory of a step, and time beside torch's.

Memory is the high-water mark of the process above parameters, gradients and slots; wanted is at
most 10 % of those. Time is step alone, beside torch's foreach and, where there is one, fused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import optcore
from benchmarks.harness import Comparison, compare, show, timed
from optcore.spec.optimizers import OPTIMIZERS

TORCH: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "adamax": (torch.optim.Adamax, {}),
    "nadam": (torch.optim.NAdam, {}),
    "radam": (torch.optim.RAdam, {}),
    "rprop": (torch.optim.Rprop, {}),
    "asgd": (torch.optim.ASGD, {}),
    "adafactor": (torch.optim.Adafactor, {}),
}
FUSED = ("sgd", "momentum", "nesterov", "adagrad", "adam", "adamw")
LR = 1e-4


def model() -> nn.ParameterDict:
    """Return 57 tensors of 12.6M parameters in all, with gradients."""
    torch.manual_seed(0)
    shapes = [(512, 768)] * 28 + [(1024, 1500)] + [(768,)] * 28
    net = nn.ParameterDict({f"p{i}": torch.randn(s) for i, s in enumerate(shapes)})
    for param in net.values():
        param.grad = torch.randn_like(param)
    return net


def ours(kind: str, net: nn.Module, engine: str) -> torch.optim.Optimizer:
    """Return our optimizer of *kind*."""
    spec = {"kind": kind, "lr": LR, "engine": engine}
    return optcore.make_optimizer(net.named_parameters(), spec)


def high_water(work: Callable[[], object]) -> int:
    """Return by how many bytes *work* raised the memory of this process, at most."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    work()
    return max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(name)]
    return int(line.split()[1]) * 1024


def memory() -> Iterator[str]:
    """Yield a line per optimizer: what a step needs above what it keeps."""
    for kind in OPTIMIZERS:
        if kind == "lbfgs":
            continue
        net = model()
        optimizer: Any = ours(kind, net, "auto")
        optimizer.step()
        kept = sum(2 * p.nbytes for p in net.parameters())
        kept += sum(t.nbytes for by in optimizer.named_slots().values() for t in by.values())
        share = high_water(optimizer.step) / kept
        yield f"| {kind} | {kept / 2**20:.0f} MiB | {share:.1%} | <= 10 % |"


def times() -> Iterator[Comparison]:
    """Yield ours beside torch's foreach, and beside its fused kernel where there is one."""
    for kind, (make, arguments) in TORCH.items():
        for engine in ("foreach", "fused") if kind in FUSED else ("foreach",):
            mine = ours(kind, model(), "eager" if engine == "foreach" else "fused")
            theirs = make(model().parameters(), lr=LR, **arguments, **{engine: True})
            yield compare(
                f"step, 12.6M parameters, {kind}, {getattr(mine, 'engine', '')}",
                timed(mine.step),
                timed(theirs.step),
                wanted=1.0,
                peer_name=engine,
            )


if __name__ == "__main__":
    print("| optimizer | parameters, gradients, slots | more during a step | wanted |")
    print("| --- | --- | --- | --- |")
    for row in memory():
        print(row)
    show("Step", list(times()))
