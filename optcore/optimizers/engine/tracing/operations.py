"""Turns the operations in a traced rule into torch functions that write into ``out=``."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

_FUNCTIONS: Mapping[Callable[..., Any], Callable[..., Tensor]] = {
    operator.add: torch.add,
    operator.sub: torch.sub,
    operator.mul: torch.mul,
    operator.truediv: torch.div,
    operator.pow: torch.pow,
    operator.neg: torch.neg,
    # With out=, a comparison writes 1 or 0 in the dtype of out, so rules can multiply by masks.
    operator.gt: torch.gt,
    operator.ge: torch.ge,
    operator.lt: torch.lt,
    operator.le: torch.le,
}
"""Python's operators on tensors, as the torch functions that take ``out=``."""

_COMMUTATIVE = {torch.add, torch.mul}


def copied(source: Tensor, *, out: Tensor) -> Tensor:
    """Copy *source* to *out*."""
    return out.copy_(source)


def operations(graph: fx.Graph) -> list[fx.Node]:
    """Return the nodes of *graph* that are function or method calls, in order."""
    return [node for node in graph.nodes if node.op in ("call_function", "call_method")]


def use_torch_functions(graph: fx.Graph, states: Sequence[fx.Node]) -> set[fx.Node]:
    """
    Turn every tensor operation in *graph* into a call of a torch function that takes ``out=``.

    Return all nodes whose value is a tensor: *states* (the parameter, the gradient and the slots)
    and the tensor operations. All other operations compute with numbers only.

    Raises:
        ValueError: an operation has no such function, or its function is not elementwise.
    """
    tensors = set(states)
    for node in operations(graph):
        if any(operand in tensors for operand in node.all_input_nodes):
            tensors |= _use_torch_function(graph, node, tensors)
    return tensors


def _use_torch_function(graph: fx.Graph, node: fx.Node, tensors: set[fx.Node]) -> set[fx.Node]:
    """Turn *node* into a call that takes ``out=``. Return *node*, and any node that was added."""
    made = {node}
    if node.op == "call_method":
        # A method takes no out=; torch's function of the same name does.
        node.op, node.target = "call_function", getattr(torch, str(node.target), node.target)
    elif node.args[0] not in tensors and node.target is operator.truediv:
        # torch computes 1 / x like this; torch.div would give other last bits.
        number, tensor = node.args
        with graph.inserting_before(node):
            inverse = graph.call_function(torch.reciprocal, (tensor,))
        node.target, node.args = torch.mul, (inverse, number)
        made.add(inverse)
    else:
        # A target may be a name, but only of a method.
        node.target = _FUNCTIONS.get(node.target, node.target)  # type: ignore[arg-type]
        if node.args[0] not in tensors and node.target in _COMMUTATIVE:
            node.args = (node.args[1], node.args[0])
    _check(node, tensors | made)
    return made


def _check(node: fx.Node, tensors: set[fx.Node]) -> None:
    """Raise ValueError if *node* is not elementwise, or cannot write its result to ``out=``."""

    def example(operand: fx.Node) -> Tensor | float:
        return torch.ones(2) if operand in tensors else 0.5

    args, kwargs = fx.map_arg((node.args, node.kwargs), example)
    try:
        with warnings.catch_warnings():  # a reduction warns that it resizes its out=
            warnings.simplefilter("ignore")
            result = node.target(*args, **kwargs, out=torch.empty(2))  # type: ignore[operator]
        elementwise = result.shape == (2,)
    except (TypeError, RuntimeError):
        elementwise = False
    if not elementwise:
        name = getattr(node.target, "__name__", node.target)
        raise ValueError(f"each operation of a rule must be elementwise and take out=, got {name}")
