"""
A rule as a program that runs in place: no temporaries beyond a few scratch buffers.

A rule is pure: each operation of its arithmetic gives a new tensor. Run as it stands over a
large buffer it spends most of its time in fresh memory. So it is traced once, each operation is
given the place its result goes to (a parameter's or slot's own memory as soon as the old value
is no longer needed, else a scratch buffer that is free), and the same operations in the same
order then give the same bits, in half the time of torch's foreach kernels.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.proxy import GraphAppendingTracer

_FUNCTIONS: Mapping[Callable[..., Any], Callable[..., Tensor]] = {
    operator.add: torch.add,
    operator.sub: torch.sub,
    operator.mul: torch.mul,
    operator.truediv: torch.div,
    operator.neg: torch.neg,
}
"""Python's operators on tensors, as the torch functions that take ``out=``."""

_COMMUTATIVE = {torch.add, torch.mul}


class _Tracer(GraphAppendingTracer):
    """Records operations; a symbol stands for a number that is not 0."""

    def to_bool(self, obj: fx.Proxy) -> bool:
        return True


class Program:
    """
    A traced rule.

    Attributes:
        num_scratch: how many scratch buffers `run` wants.
        num_passes: how many operations go over the memory.
        source: the Python that runs, for people.
    """

    def __init__(self, graph: fx.Graph, num_scratch: int) -> None:
        self.num_scratch = num_scratch
        self.num_passes = sum("out" in node.kwargs for node in graph.nodes)
        module = fx.GraphModule({}, graph)
        self.source: str = module.code.strip()
        self.run: Callable[..., None] = module.forward
        """``run(param, grad, *slots, *numbers, *scratch)``, all tensors of one length."""


def trace(
    update: Callable[..., tuple[Tensor, ...]],
    *,
    slots: Sequence[str],
    numbers: Sequence[str],
    constants: Mapping[str, float | bool],
) -> Program:
    """
    Return *update* as a program that writes param and slots in place.

    Args:
        update: a rule's pure function.
        slots: names of its slots, in order.
        numbers: its arguments that `Program.run` takes each time, in order.
        constants: its other arguments: flags, and numbers that are 0.
    """
    graph = fx.Graph()
    tracer = _Tracer(graph)
    states = [graph.placeholder(name) for name in ("param", "grad", *slots)]
    values = {name: graph.placeholder(name) for name in numbers}
    scratch_goes_after = graph.placeholder("_end")
    results = update(
        *(fx.Proxy(node, tracer) for node in states),
        **{name: fx.Proxy(node, tracer) for name, node in values.items()},
        **constants,
    )
    # What update returns are proxies here, whatever its types say.
    homes = {
        result.node: home  # type: ignore[attr-defined]
        for result, home in zip(results, [states[0], *states[2:]], strict=True)
    }
    graph.output(None)
    num_scratch = _write_in_place(graph, states, homes, scratch_goes_after)
    graph.erase_node(scratch_goes_after)
    graph.lint()
    return Program(graph, num_scratch)


def _write_in_place(
    graph: fx.Graph, states: Sequence[fx.Node], homes: Mapping[fx.Node, fx.Node], end: fx.Node
) -> int:
    """Give every tensor operation of *graph* its ``out=``; return the number of scratch buffers."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    last_use = {node: max((order[user] for user in node.users), default=-1) for node in order}
    tensors = set(states)
    scratch: list[fx.Node] = []
    free: list[fx.Node] = []
    held: dict[fx.Node, fx.Node] = {}
    final = {home: order[node] for node, home in homes.items() if node.op != "placeholder"}
    lent: dict[fx.Node, fx.Node] = {}

    def dead_home(node: fx.Node) -> fx.Node | None:
        """Return a state's memory that is free from *node* until after its last use."""
        for operand in node.all_input_nodes:
            home = lent.get(operand, operand)
            dies = last_use[operand] == order[node]
            if dies and home in final and last_use[node] <= final[home]:
                return home
        return None

    for node in [n for n in graph.nodes if n.op in ("call_function", "call_method")]:
        if not any(operand in tensors for operand in node.all_input_nodes):
            continue  # arithmetic of numbers
        tensors.add(node)
        _use_torch_function(node, tensors)
        for operand in node.all_input_nodes:
            if operand in held and last_use[operand] == order[node]:
                free.append(held.pop(operand))
        home = homes.get(node)
        # Elementwise, so the old value may be an operand of the very operation that replaces it.
        if home is not None and last_use[home] <= order[node]:
            place = home
        else:
            assert home is None, f"{home} is read after its new value {node} is known"
            if (borrowed := dead_home(node)) is not None:
                lent[node] = borrowed
                node.kwargs = {**node.kwargs, "out": borrowed}
                continue
            if not free:
                with graph.inserting_before(end):
                    scratch.append(graph.placeholder(f"scratch{len(scratch)}"))
                free.append(scratch[-1])
            place = held[node] = free.pop()
        node.kwargs = {**node.kwargs, "out": place}
    return len(scratch)


def _use_torch_function(node: fx.Node, tensors: set[fx.Node]) -> None:
    if node.op == "call_method":
        node.op, node.target = "call_function", getattr(torch, str(node.target))
        return
    # A target may be a name, but only of a method.
    node.target = _FUNCTIONS.get(node.target, node.target)  # type: ignore[arg-type]
    first = node.args[0]
    if not (isinstance(first, fx.Node) and first in tensors):
        assert node.target in _COMMUTATIVE, f"{node} must have its tensor first"
        node.args = (node.args[1], node.args[0])
