"""
Measures the optimizers that torch does not have against packages that have them.

Packages are those of `PEERS`; one that is not installed is left out. Each optimizer takes a step on
12.6M parameters in 57 tensors, and on 20k parameters in 6 tensors, where calls cost more than
arithmetic. As in `benchmarks.optimizers`, ours should never be slower by more than the spread.

On a busy machine, ``--cpu-time`` measures the CPU time of one thread instead. Names of optimizers
as arguments select some: ``python -m benchmarks.authors --cpu-time lamb sm3``.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import nn

import optcore
from benchmarks.harness import Comparison, compare, show, timed
from benchmarks.optimizers import LR, keep_freed_memory, model
from benchmarks.step import STEPS, mnist_cnn, with_gradients


class Peer(NamedTuple):
    """A class of a package, and our spec of the same optimizer."""

    package: str
    name: str
    arguments: dict[str, Any]
    spec: dict[str, Any]


FOREACH = {"foreach": True}
ELSEWHERE = "pytorch_optimizer"
BITSANDBYTES = {"dialect": "bitsandbytes", "state_bits": 8}
PEERS = [
    Peer(ELSEWHERE, "AdaBelief", FOREACH, {"kind": "adabelief"}),
    Peer(ELSEWHERE, "Adan", FOREACH, {"kind": "adan"}),
    Peer(ELSEWHERE, "AdEMAMix", FOREACH, {"kind": "ademamix"}),
    Peer(ELSEWHERE, "ADOPT", FOREACH, {"kind": "adopt"}),
    Peer(ELSEWHERE, "FTRL", FOREACH, {"kind": "ftrl"}),
    Peer(ELSEWHERE, "Fromage", FOREACH, {"kind": "fromage"}),
    Peer(ELSEWHERE, "Lamb", FOREACH, {"kind": "lamb"}),
    Peer(ELSEWHERE, "LaProp", FOREACH, {"kind": "laprop"}),
    Peer(ELSEWHERE, "Lion", FOREACH, {"kind": "lion"}),
    Peer(ELSEWHERE, "MADGRAD", FOREACH, {"kind": "madgrad"}),
    Peer(
        ELSEWHERE, "MARS", {**FOREACH, "optimize_1d": True}, {"kind": "mars", "optimize_1d": True}
    ),
    Peer(ELSEWHERE, "NovoGrad", FOREACH, {"kind": "novograd"}),
    Peer(ELSEWHERE, "SignSGD", FOREACH, {"kind": "signum"}),
    Peer(ELSEWHERE, "SimplifiedAdEMAMix", FOREACH, {"kind": "simplified_ademamix"}),
    # Without its momentum, the peer would keep no mean of steps.
    Peer(ELSEWHERE, "SM3", {**FOREACH, "momentum": 0.9}, {"kind": "sm3"}),
    Peer(ELSEWHERE, "Yogi", FOREACH, {"kind": "yogi"}),
    Peer("schedulefree", "AdamWScheduleFree", FOREACH, {"kind": "schedule_free_adamw"}),
    Peer("schedulefree", "SGDScheduleFree", FOREACH, {"kind": "schedule_free_sgd"}),
    Peer("bitsandbytes.optim", "AdamW8bit", {}, {"kind": "adamw", **BITSANDBYTES}),
    Peer("bitsandbytes.optim", "Lion8bit", {}, {"kind": "lion", **BITSANDBYTES}),
    Peer("torch.optim", "Muon", {}, {"kind": "muon"}),
]


def made(peer: Peer, net: nn.Module) -> torch.optim.Optimizer | None:
    """Return the optimizer of *peer* for *net*; None if its package is not installed."""
    try:
        make = getattr(import_module(peer.package), peer.name)
    except ImportError:
        return None
    optimizer: torch.optim.Optimizer = make(weights(peer, net), lr=LR, **peer.arguments)
    with contextlib.suppress(AttributeError):
        optimizer.train()  # type: ignore[attr-defined]  # of schedulefree
    return optimizer


def weights(peer: Peer, net: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of *net* that *peer* is for: with Muon those with two dimensions."""
    return [p for p in net.parameters() if peer.name != "Muon" or p.dim() == len("mn")]


def compared(
    peer: Peer,
    size: str,
    make_net: Callable[[], nn.Module],
    *,
    repeats: int,
    pairs: int,
    clock: Callable[[], float],
) -> Comparison | None:
    """Compare a step on the network of *size* with that of *peer*; None if it is not installed."""
    theirs = made(peer, make_net())
    if theirs is None:
        return None
    net = make_net()
    kept = {id(param) for param in weights(peer, net)}
    named = [pair for pair in net.named_parameters() if id(pair[1]) in kept]
    bits = "state_bits" in peer.spec
    mine = optcore.make_optimizer(named, {"lr": LR, **peer.spec})
    return compare(
        f"step, {size} parameters, {peer.spec['kind']}{', 8 bits' if bits else ''}",
        timed(mine.step, repeats=repeats, clock=clock),
        timed(theirs.step, repeats=repeats, clock=clock),
        pairs=pairs,
        peer_name=f"{peer.package.partition('.')[0]} {peer.name}",
    )


def times(kinds: list[str], clock: Callable[[], float]) -> Iterator[Comparison]:
    """Yield a comparison with each installed peer, on the large and on the small network."""
    for peer in PEERS:
        if kinds and peer.spec["kind"] not in kinds:
            continue
        large = compared(peer, "12.6M", model, repeats=1, pairs=25, clock=clock)
        if large is None:
            continue
        yield large
        if peer.name == "Muon":  # has no matrices to speak of in the small network
            continue
        small = compared(
            peer,
            "20k",
            lambda: with_gradients(mnist_cnn()),
            repeats=STEPS // 4,
            pairs=25,
            clock=clock,
        )
        if small is not None:
            yield small


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.authors")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="optimizers; all if there is none")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of one thread")
    asked = parser.parse_args()
    keep_freed_memory()
    if asked.cpu_time:
        torch.set_num_threads(1)
    seen = list(times(asked.kinds, time.thread_time if asked.cpu_time else time.perf_counter))
    show("Steps of optimizers that torch does not have", seen)
    slower = [comparison.name for comparison in seen if comparison.interval.high < 1]
    print(f"Slower than a peer beyond the spread (wanted: none): {', '.join(slower) or 'none'}")
