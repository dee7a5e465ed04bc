"""
A rule whose step depends on norms, as two programs: one before the norms are known, one after.

A second function returns the tensors whose norms the rule needs. The rule and this function are
traced into one graph, in which an operation that both have occurs once.

The first program runs all operations that depend on no norm. It writes the tensors whose norms are
taken, the slots whose new values depend on no norm, and the values from which the second program
continues (such as the step of lamb). Every operation is one of the rule's own, so the results are
the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, fx

from optcore.optimizers.engine.tracing.operations import operations, use_torch_functions
from optcore.optimizers.engine.tracing.per_param import run_per_param
from optcore.optimizers.engine.tracing.program import Program, Tracer, node_of, write_in_place

Function = Callable[..., tuple[Tensor, ...]]
"""A pure function of the parameter, the gradient and the slots."""


@dataclass(frozen=True)
class Call:
    """
    A function to trace.

    Attributes:
        function: the function.
        numbers: the names of the arguments that remain arguments of the traced programs.
        constants: the other arguments with their values: flags, and numbers that are 0.
    """

    function: Function
    numbers: Sequence[str]
    constants: Mapping[str, float | bool]


@dataclass(frozen=True)
class Split:
    """
    A traced rule in two programs: one before its norms are known, and one after.

    Attributes:
        first: the first program: ``run(param, grad, *slots, *saved, *measured, *numbers,
            *scratch)``.
        second: the second program: ``run(param, grad, *slots, *saved, *numbers, *late, *scratch)``;
            None if the whole rule runs after the norms are known.
        num_saved: the number of buffers in *saved*, which *first* writes and *second* reads. Each
            is as long as the parameter.
        num_measured: the number of buffers in *measured*, for values of which only norms are taken.
        norms: for each norm, the index of its tensor among those of *first*.
        numbers: the names of the numbers that both programs take.
        late: the names of the numbers that only *second* takes.
    """

    first: Program
    second: Program | None
    num_saved: int
    num_measured: int
    norms: Sequence[int]
    numbers: Sequence[str]
    late: Sequence[str] = ()


def trace_norms(of: Call, slots: int) -> Split:
    """Return a `Split` with a first program alone, which writes the results of *of*."""
    graph = _Graph(slots, of.numbers)
    (measured,) = graph.trace([(of, of.numbers)])
    return graph.split(measured, writes={}, saved=[], second=None)


def trace_split(
    update: Call, of: Call, slots: int, *, late: Sequence[str], per_param: Sequence[str] = ()
) -> Split:
    """
    Return *update* as a `Split`: a program that measures norms, and a program that needs them.

    Args:
        update: the rule.
        of: the function that returns the tensors whose norms are measured.
        slots: the number of slots of the rule.
        late: the names of the arguments of *update* that depend on norms. The rule may not test
            whether one of these arguments is 0.
        per_param: the names in *late* for which the second program gets a `PerParam`.
    """
    graph = _Graph(slots, [*dict.fromkeys([*update.numbers, *of.numbers]), *late])
    results, measured = graph.trace([(update, [*update.numbers, *late]), (of, of.numbers)])
    graph.follow(late)
    states = [graph.states[0], *graph.states[2:]]
    changed = [
        (node, state) for node, state in zip(results, states, strict=True) if node is not state
    ]
    read = {operand for node in graph.after for operand in node.all_input_nodes}
    # A slot is written first unless the second program uses its old value.
    used = read | {node for node, _ in changed if node.op == "placeholder"}
    writes: dict[fx.Node, fx.Node] = {}
    for node, state in changed:
        early = node.op != "placeholder" and node not in graph.after
        if early and state is not states[0] and state not in used:
            writes.setdefault(node, state)
    left = {state: node for node, state in changed if writes.get(node) is not state}
    wanted = (read | set(left.values())) & graph.tensors - graph.after - writes.keys()
    saved = [node for node in graph.operations if node in wanted - graph.again(writes)]
    second = graph.second(left, writes=writes, saved=saved, per_param=per_param)
    return graph.split(measured, writes=writes, saved=saved, second=second, late=late)


class _Graph:
    """A rule, and the function whose results are measured, in one graph."""

    def __init__(self, slots: int, numbers: Sequence[str]) -> None:
        self._graph = fx.Graph()
        self.states = _states(self._graph, slots)
        self.numbers = {
            name: self._graph.placeholder(f"number{i}") for i, name in enumerate(numbers)
        }
        self.tensors: set[fx.Node] = set()
        self.operations: list[fx.Node] = []
        self.after: set[fx.Node] = set()
        """The operations that depend on norms."""

    def trace(self, calls: Sequence[tuple[Call, Sequence[str]]]) -> list[list[fx.Node]]:
        """
        Trace the functions of *calls*, and return the operations that compute their results.

        Each entry of *calls* has the names of the numbers with which its function is traced.
        """
        tracer = Tracer(self._graph)
        found = [
            call.function(
                *(fx.Proxy(node, tracer) for node in self.states),
                **{name: fx.Proxy(self.numbers[name], tracer) for name in names},
                **call.constants,
            )
            for call, names in calls
        ]
        self._graph.output(None)
        same = self._merge()
        self.tensors = use_torch_functions(self._graph, self.states)
        self.operations = operations(self._graph)
        self.numbers = {name: node for name, node in self.numbers.items() if node.users}
        known = self.tensors | same.keys()
        nodes = [[node_of(result, known) for result in results] for results in found]
        return [[same.get(node, node) for node in each] for each in nodes]

    def _merge(self) -> dict[fx.Node, fx.Node]:
        """Remove repeated operations; return removed operation -> equal operation that stays."""
        first: dict[tuple[object, ...], fx.Node] = {}
        same: dict[fx.Node, fx.Node] = {}
        for node in operations(self._graph):
            # In a repr, 0.0 and -0.0 differ, and so do True and 1.
            key = (node.op, node.target, repr(node.args), repr(node.kwargs))
            if (found := first.setdefault(key, node)) is not node:
                node.replace_all_uses_with(found)
                self._graph.erase_node(node)
                same[node] = found
        return same

    def follow(self, late: Collection[str]) -> None:
        """Set `after` to the operations that depend on the numbers named *late*."""
        sources = {node for name, node in self.numbers.items() if name in late}
        for node in self.operations:
            if not (sources | self.after).isdisjoint(node.all_input_nodes):
                self.after.add(node)

    def again(self, writes: Mapping[fx.Node, fx.Node]) -> set[fx.Node]:
        """
        Return the operations that the second program runs again, instead of reading their results.

        These are the operations on numbers, and the operations all of whose tensors are inputs of
        the rule that the first program does not overwrite. Computing such a result again reads no
        more memory than reading a saved result.
        """
        left = (set(self.states) | set(self.numbers.values())) - set(writes.values())
        return {
            node
            for node in self.operations
            if node not in self.tensors
            or left.issuperset(n for n in node.all_input_nodes if n in self.tensors)
        } - self.after

    def split(
        self,
        measured: Sequence[fx.Node],
        *,
        writes: Mapping[fx.Node, fx.Node],
        saved: Sequence[fx.Node],
        second: Program | None,
        late: Collection[str] = (),
    ) -> Split:
        """
        Return a `Split`, whose first program writes *measured*, *writes* and *saved*.

        Args:
            measured: the tensors whose norms are taken.
            writes: operation -> the slot that it writes.
            saved: the operations whose results are kept for *second*.
            second: the second program.
            late: the names of the numbers that only *second* takes.
        """
        written = set(writes.values())
        places = {node: i for i, node in enumerate(self.states) if node not in written}
        places |= {node: self.states.index(state) for node, state in writes.items()}
        places |= {node: len(self.states) + i for i, node in enumerate(saved)}
        apart = list(dict.fromkeys(node for node in measured if node not in places))
        places |= {node: len(self.states) + len(saved) + i for i, node in enumerate(apart)}
        numbers = [name for name in self.numbers if name not in late]
        part = _Part(self, len(saved) + len(apart), numbers)
        part.copy([node for node in self.operations if node not in self.after])
        results = {state: node for node, state in writes.items()}
        first = part.program(results, [*saved, *apart])
        norms = [places[node] for node in measured]
        taken = [name for name in self.numbers if name in late]
        return Split(first, second, len(saved), len(apart), norms, numbers, taken)

    def second(
        self,
        results: Mapping[fx.Node, fx.Node],
        *,
        writes: Mapping[fx.Node, fx.Node],
        saved: Sequence[fx.Node],
        per_param: Collection[str],
    ) -> Program:
        """
        Return the program that continues from *writes* and *saved*, and writes *results*.

        Args:
            results: parameter or slot -> its new value.
            writes: operation of the first program -> the slot that it has written.
            saved: the operations whose results the first program has saved.
            per_param: the names of the numbers for which the program gets a `PerParam`.
        """
        part = _Part(self, len(saved), list(self.numbers))
        part.known |= dict(zip(saved, part.extra, strict=True))
        part.known |= {node: part.known[state] for node, state in writes.items()}
        again = self.again(writes) - writes.keys()
        part.copy([node for node in self.operations if node in self.after | again])
        return part.program(
            results, [], [self.numbers[name] for name in per_param if name in self.numbers]
        )


class _Part:
    """A part of the operations of a `_Graph`, as a graph of its own."""

    def __init__(self, source: _Graph, extra: int, numbers: Sequence[str]) -> None:
        """
        Make a graph that so far has only placeholders.

        Args:
            source: the graph that operations are copied from.
            extra: the number of buffers besides the parameter, the gradient and the slots.
            numbers: the names of the numbers that the program takes.
        """
        self._source, self._graph = source, fx.Graph()
        states = _states(self._graph, len(source.states) - 2)
        self.extra = [self._graph.placeholder(f"extra{i}") for i in range(extra)]
        self.known = dict(zip(source.states, states, strict=True))
        """Node of the source -> node with its value."""
        for i, name in enumerate(numbers):
            self.known[source.numbers[name]] = self._graph.placeholder(f"number{i}")
        # Placeholders come before all operations, so scratch buffers are inserted before this one.
        self._end = self._graph.placeholder("_end")

    def copy(self, nodes: Sequence[fx.Node]) -> None:
        """Copy the operations *nodes*, which are in order."""
        for node in nodes:
            self.known[node] = self._graph.node_copy(node, self.known.__getitem__)
        self._graph.output(None)

    def program(
        self,
        results: Mapping[fx.Node, fx.Node],
        extra: Sequence[fx.Node],
        per_param: Sequence[fx.Node] = (),
    ) -> Program:
        """
        Return the program that writes *results*, and *extra* to the extra buffers.

        Args:
            results: parameter or slot -> its new value, as nodes of the source. States that are
                not in *results* keep their values.
            extra: the values that are written to the extra buffers; empty to write none.
            per_param: the numbers for which the program gets a `PerParam`.
        """
        states = [self.known[state] for state in self._source.states]
        final = [
            self.known[results.get(state, state)]
            for state in (self._source.states[0], *self._source.states[2:])
        ]
        final += [self.known[node] for node in extra] or self.extra
        tensors = {self.known[node] for node in self._source.tensors if node in self.known}
        num_scratch = write_in_place(self._graph, tensors, [*states, *self.extra], final, self._end)
        run_per_param(self._graph, [self.known[node] for node in per_param])
        self._graph.erase_node(self._end)
        self._graph.lint()
        return Program(self._graph, num_scratch)


def _states(graph: fx.Graph, slots: int) -> list[fx.Node]:
    """Add placeholders for the parameter, the gradient and the slots to *graph*."""
    return [
        graph.placeholder(name) for name in ("param", "grad", *(f"slot{i}" for i in range(slots)))
    ]
