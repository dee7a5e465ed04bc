"""
Measures every optimizer on 12.6M parameters in 57 tensors: its memory, and its time against torch.

Memory is what the first step allocates besides parameters, gradients and slots, including scratch
buffers; wanted is at most 10 % of those three. Time is that of ``step`` alone, against torch's
foreach engine and, if there is one, its fused engine. The allocator is told to keep freed memory:
otherwise foreach is up to seven times slower whenever its temporaries happen to be mapped anew,
which would flatter us.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

import optcore
from benchmarks.harness import Comparison, compare, show, timed
from optcore.spec.optimizers.catalogue import OPTIMIZERS

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
VARIANTS: dict[str, dict[str, Any]] = {
    "adamw, cautious": {"kind": "adamw", "dialect": "timm", "cautious": True},
    "adamw, bitsandbytes, 8 bits": {"kind": "adamw", "dialect": "bitsandbytes", "state_bits": 8},
    "lion, bitsandbytes, 8 bits": {"kind": "lion", "dialect": "bitsandbytes", "state_bits": 8},
    "adam, paddle": {"kind": "adam", "dialect": "paddle"},
    "adam, optax": {"kind": "adam", "dialect": "optax"},
    "lamb, cautious": {"kind": "lamb", "dialect": "timm", "cautious": True},
    "lars, timm": {"kind": "lars", "dialect": "timm"},
    "muon, article": {"kind": "muon", "dialect": "article"},
    "muon, keras": {"kind": "muon", "dialect": "keras"},
    "muon, optax": {"kind": "muon", "dialect": "optax"},
    "adafactor, optax": {"kind": "adafactor", "dialect": "optax"},
}
"""Specs of dialects and options in which a rule does other work, beside each kind by itself."""
FUSED = ("sgd", "momentum", "nesterov", "adagrad", "adam", "adamw")
LR = 1e-4
MAX_MORE = 0.1
"""Largest wanted share of the memory that a step adds to parameters, gradients and slots."""


def model() -> nn.ParameterDict:
    """Return 57 tensors with 12.6M parameters in total, and their gradients."""
    torch.manual_seed(0)
    shapes = [(512, 768)] * 28 + [(1024, 1500)] + [(768,)] * 28
    net = nn.ParameterDict({f"p{i}": torch.randn(s) for i, s in enumerate(shapes)})
    for param in net.values():
        param.grad = torch.randn_like(param)
    return net


def ours(kind: str, net: nn.Module, engine: str) -> torch.optim.Optimizer:
    """Return optcore's optimizer of *kind* for *net*."""
    spec = {"kind": kind, "lr": LR, "engine": engine}
    return optcore.make_optimizer(net.named_parameters(), spec)


def allocated(work: Callable[[], object]) -> int:
    """Return the maximum number of bytes by which *work* increased the memory of tensors."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    assert seen.profiler is not None
    results = seen.profiler.kineto_results
    assert results is not None
    events = [event for event in results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    sizes: Iterator[int] = (event.nbytes() for event in events)
    return max(accumulate(sizes, initial=0))


def memory() -> Iterator[str]:
    """Yield a table row per optimizer: the memory of its first step beyond what it keeps."""
    for name, spec in {**{kind: {"kind": kind} for kind in OPTIMIZERS}, **VARIANTS}.items():
        if spec["kind"] == "lbfgs":
            continue
        kept, more = memory_of(spec)
        yield f"| {name} | {kept / 2**20:.0f} MiB | {more / kept:.1%} | <= {MAX_MORE:.0%} |"


def memory_of(spec: dict[str, Any]) -> tuple[int, int]:
    """Return the bytes of parameters, gradients and slots, and those that the first step adds."""
    net = model()
    optimizer: Any = optcore.make_optimizer(
        net.named_parameters(), {"lr": LR, **spec, "engine": "auto"}
    )
    kept = sum(2 * p.nbytes for p in net.parameters())
    kept += sum(t.nbytes for by in optimizer.named_slots().values() for t in by.values())
    return kept, allocated(optimizer.step)


def keep_freed_memory() -> None:
    """Tell glibc's allocator to return no memory to the system from now on."""
    for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
        ctypes.CDLL(None).mallopt(option, 2**30)


def times() -> Iterator[Comparison]:
    """Yield comparisons with torch's foreach engine and, if there is one, its fused engine."""
    for kind, (make, arguments) in TORCH.items():
        for engine in ("foreach", "fused") if kind in FUSED else ("foreach",):
            mine = ours(kind, model(), "eager" if engine == "foreach" else "fused")
            theirs = make(model().parameters(), lr=LR, **arguments, **{engine: True})
            yield compare(
                f"step, 12.6M parameters, {kind}, {getattr(mine, 'engine', '')}",
                timed(mine.step),
                timed(theirs.step),
                peer_name=engine,
            )


if __name__ == "__main__":
    print("| optimizer | parameters, gradients, slots | more during a step | wanted |")
    print("| --- | --- | --- | --- |")
    for row in memory():
        print(row)
    keep_freed_memory()
    seen = list(times())
    show("Step", seen)
    slower = [comparison.name for comparison in seen if comparison.interval.high < 1]
    print(f"Slower than torch beyond the spread (wanted: none): {', '.join(slower) or 'none'}")
