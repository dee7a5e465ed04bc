"""
A rule as a program that runs in place: no temporaries beyond a few scratch buffers.

A rule is pure: each of its operations returns a new tensor. Called directly on a large buffer, a
rule spends most of its time allocating memory. So the rule is traced once, and each operation is
given the memory that its result goes to (`_Allocator`). The same operations in the same order give
the same bits, in half the time of torch's foreach kernels.
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
    """Records operations. The proxy of a number is true, as the number is never 0."""

    def to_bool(self, obj: fx.Proxy) -> bool:
        # Engines pass a number that is 0 as a constant, so a proxy is never 0. A comparison is true
        # here, whatever the number: a rule with `if lr > 0.5` would lose its other branch.
        return True


class Program:
    """
    A traced rule.

    Attributes:
        num_scratch: the number of scratch buffers that `run` takes.
        num_passes: the number of operations that read and write whole tensors.
        source: the program as Python code, for debugging.
    """

    def __init__(self, graph: fx.Graph, num_scratch: int) -> None:
        self.num_scratch = num_scratch
        self.num_passes = sum("out" in node.kwargs for node in graph.nodes)
        # fx writes the names of slots and numbers into Python source, which it executes: they must
        # come from rules, never from a client.
        module = fx.GraphModule({}, graph)
        self.source: str = module.code.strip()
        # Not the module itself, whose __call__ looks for hooks at every slice.
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
    Return a program that computes *update* and writes the parameter and its slots in place.

    Args:
        update: the pure function of a rule.
        slots: the names of the slots of the rule, in order.
        numbers: the names of those arguments of *update* that each `Program.run` takes, in order.
        constants: the other arguments of *update*: flags, and numbers that are 0.
    """
    graph = fx.Graph()
    tracer = _Tracer(graph)
    states = [graph.placeholder(name) for name in ("param", "grad", *slots)]
    values = {name: graph.placeholder(name) for name in numbers}
    # Placeholders come before all operations, so scratch buffers are inserted before this one.
    end = graph.placeholder("_end")
    results = update(
        *(fx.Proxy(node, tracer) for node in states),
        **{name: fx.Proxy(node, tracer) for name, node in values.items()},
        **constants,
    )
    # The results are proxies here, whatever the types of *update* say.
    # If one result were the new value of two states, it would be written to the last of them only,
    # so a rule returns a separate result for each.
    destinations = {
        result.node: state  # type: ignore[attr-defined]
        for result, state in zip(results, [states[0], *states[2:]], strict=True)
    }
    graph.output(None)
    num_scratch = _write_in_place(graph, states, _Allocator(graph, destinations, end))
    graph.erase_node(end)
    graph.lint()
    return Program(graph, num_scratch)


def _write_in_place(graph: fx.Graph, states: Sequence[fx.Node], memory: _Allocator) -> int:
    """Give every tensor operation of *graph* its ``out=``; return the number of scratch buffers."""
    tensors = set(states)
    for node in [n for n in graph.nodes if n.op in ("call_function", "call_method")]:
        if not any(operand in tensors for operand in node.all_input_nodes):
            continue  # arithmetic of Python numbers
        tensors.add(node)
        _use_torch_function(node, tensors)
        node.kwargs = {**node.kwargs, "out": memory.out(node)}
    return len(memory.scratch)


class _Allocator:
    """
    Chooses the memory for every result: register allocation by a linear scan over the operations.

    The registers are the parameter, its slots, and as few scratch buffers as possible. Every
    scratch buffer of a slice takes space in the cache, so a result goes to, in this order:

    1. the parameter or slot whose new value it is;
    2. a parameter or slot whose old value is used here for the last time, if its new value is
       written only after the last use of this result;
    3. a scratch buffer whose value is no longer needed, else a new one.

    Attributes:
        scratch: the placeholders of the scratch buffers.
    """

    def __init__(
        self, graph: fx.Graph, destinations: Mapping[fx.Node, fx.Node], end: fx.Node
    ) -> None:
        """
        Find out where each result of *graph* can be stored; no operation has an ``out=`` yet.

        Args:
            graph: the traced rule: placeholders, operations, output.
            destinations: result -> the parameter or slot whose new value it is.
            end: placeholders for scratch buffers are inserted before this placeholder.
        """
        self.scratch: list[fx.Node] = []
        self._graph, self._destinations, self._end = graph, destinations, end
        self._order = {node: i for i, node in enumerate(graph.nodes)}
        # Computed here: later on, the memory given as out= counts among what a node uses.
        self._last_use = {
            node: max((self._order[user] for user in node.users), default=-1)
            for node in self._order
        }
        # The gradient is none of these, so its memory, which is autograd's, is never lent.
        self._written = {
            state: self._order[node]
            for node, state in destinations.items()
            if node.op != "placeholder"  # a state that the rule returns as it is
        }
        self._borrowed: dict[fx.Node, fx.Node] = {}
        self._in_scratch: dict[fx.Node, fx.Node] = {}
        self._free: list[fx.Node] = []

    def out(self, node: fx.Node) -> fx.Node:
        """Return the memory for the result of *node*, the next tensor operation."""
        # Freed before a buffer is chosen: a result may overwrite an operand that is not used again.
        for operand in node.all_input_nodes:
            if operand in self._in_scratch and self._dies(operand, node):
                self._free.append(self._in_scratch.pop(operand))
        state = self._destinations.get(node)
        # Operations are elementwise: one may read the old value that it overwrites.
        if state is not None and self._last_use[state] <= self._order[node]:
            return state
        # An overwritten value is stored nowhere else, so a rule must read it before that.
        assert state is None, f"{state} is read after its new value {node} is known"
        if (state := self._dead_state(node)) is not None:
            self._borrowed[node] = state
            return state
        if not self._free:
            with self._graph.inserting_before(self._end):
                self.scratch.append(self._graph.placeholder(f"scratch{len(self.scratch)}"))
            self._free.append(self.scratch[-1])
        self._in_scratch[node] = self._free.pop()
        return self._in_scratch[node]

    def _dies(self, operand: fx.Node, node: fx.Node) -> bool:
        return self._last_use[operand] == self._order[node]

    def _dead_state(self, node: fx.Node) -> fx.Node | None:
        """Return a state whose memory is free from *node* until after the last use of *node*."""
        for operand in node.all_input_nodes:
            # A result that lies in a lent state passes it on to the operation that uses it last.
            state = self._borrowed.get(operand, operand)
            written = self._written.get(state)
            # At most equal: the operation that writes the state may read this result while it does.
            unwritten = written is not None and self._last_use[node] <= written
            if unwritten and self._dies(operand, node):
                return state
        return None


def _use_torch_function(node: fx.Node, tensors: set[fx.Node]) -> None:
    if node.op == "call_method":
        # A method takes no out=; torch's function of the same name does.
        node.op, node.target = "call_function", getattr(torch, str(node.target))
        return
    # A target may be a name, but only of a method.
    node.target = _FUNCTIONS.get(node.target, node.target)  # type: ignore[arg-type]
    first = node.args[0]
    if not (isinstance(first, fx.Node) and first in tensors):
        assert node.target in _COMMUTATIVE, f"{node} must have its tensor first"
        node.args = (node.args[1], node.args[0])
