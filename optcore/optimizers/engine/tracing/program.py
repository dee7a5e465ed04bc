"""
A rule as a program that runs in place: no temporaries beyond a few scratch buffers.

A rule is pure: each of its operations returns a new tensor. Called directly on a large buffer, a
rule spends most of its time allocating memory. So the rule is traced once. `Writers` then chooses
the operation that writes the new value of each parameter and slot, and `Allocator` chooses the
memory for each result.

The results are the same bit for bit. The program takes half the time of torch's foreach kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, fx
from torch.fx.proxy import GraphAppendingTracer

from optcore.optimizers.engine.tracing.memory import Allocator
from optcore.optimizers.engine.tracing.operations import (
    copied,
    operations,
    use_torch_functions,
)
from optcore.optimizers.engine.tracing.per_param import run_per_param
from optcore.optimizers.engine.tracing.writers import Writers


class Tracer(GraphAppendingTracer):
    """Records the operations of a rule. In an ``if``, a traced number counts as not 0."""

    def to_bool(self, obj: fx.Proxy) -> bool:
        """
        Return True: the traced number *obj* is not 0.

        Raises:
            ValueError: *obj* is not an argument of the rule but the result of an operation.
        """
        # Engines pass a number that is 0 as a constant, so a proxy is never 0. Any other condition
        # could have another value in the next update, which runs the same program.
        if obj.node.op != "placeholder":
            raise ValueError(
                f"an if in a rule may only test whether a number is 0, got the operation {obj.node}"
            )
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
        # fx executes Python source that contains the names of placeholders. `trace` chooses these
        # names, so a slot or a number may have any name.
        module = fx.GraphModule({}, graph)
        self.source: str = module.code.strip()
        # Not the module itself, whose __call__ checks for hooks at every slice.
        self.run: Callable[..., None] = module.forward
        """``run(param, grad, *slots, *numbers, *scratch)``; all tensors have the same length."""


def trace(
    update: Callable[..., tuple[Tensor, ...]],
    *,
    slots: Sequence[str],
    numbers: Sequence[str],
    constants: Mapping[str, float | bool],
    per_param: Sequence[str] = (),
) -> Program:
    """
    Return a program that computes *update*, and writes the parameter and its slots in place.

    Args:
        update: the pure function of a rule.
        slots: the names of the slots of the rule, in order.
        numbers: the names of the arguments of *update* that `Program.run` takes, in order.
        constants: the other arguments of *update* with their values: flags, and numbers that are 0.
        per_param: the names in *numbers* for which `Program.run` gets a `PerParam`.
    """
    graph = fx.Graph()
    tracer = Tracer(graph)
    states = [graph.placeholder(name) for name in ("param", "grad", *_names("slot", slots))]
    values = [graph.placeholder(name) for name in _names("number", numbers)]
    # Placeholders come before all operations, so scratch buffers are inserted before this one.
    end = graph.placeholder("_end")
    results = update(
        *(fx.Proxy(node, tracer) for node in states),
        **{name: fx.Proxy(node, tracer) for name, node in zip(numbers, values, strict=True)},
        **constants,
    )
    graph.output(None)
    tensors = use_torch_functions(graph, states)
    nodes = [node_of(result, tensors) for result in results]
    num_scratch = write_in_place(graph, tensors, states, nodes, end)
    run_per_param(graph, [values[numbers.index(name)] for name in per_param])
    graph.erase_node(end)
    graph.lint()
    return Program(graph, num_scratch)


def _names(word: str, names: Sequence[str]) -> list[str]:
    return [f"{word}{i}" for i in range(len(names))]


def node_of(result: Tensor, tensors: set[fx.Node]) -> fx.Node:
    """Return the operation in the graph that computes *result*, which must be one of *tensors*."""
    # The results are proxies here, whatever the types of a rule say.
    node: fx.Node | None = getattr(result, "node", None)
    if node is None or node not in tensors:
        raise ValueError(f"a rule must return tensors, got {result}")
    return node


def write_in_place(
    graph: fx.Graph,
    tensors: set[fx.Node],
    states: Sequence[fx.Node],
    results: Sequence[fx.Node],
    end: fx.Node,
) -> int:
    """
    Give every tensor operation of *graph* its ``out=``; return the number of scratch buffers.

    Args:
        graph: the traced rule, whose operations take ``out=``.
        tensors: all nodes whose value is a tensor.
        states: the placeholders of the parameter, the gradient and the slots.
        results: the new values of the parameter and the slots.
        end: the placeholder before which the placeholders for scratch buffers are inserted.
    """
    writers = Writers(graph, states)
    for state, node in zip([states[0], *states[2:]], results, strict=True):
        writers.add(state, node)
    writers.settle()
    memory = Allocator(graph, writers.written, end)
    for node in operations(graph):
        if node in tensors or node.target is copied:
            node.kwargs = {**node.kwargs, "out": memory.out(node)}
    return len(memory.scratch)
