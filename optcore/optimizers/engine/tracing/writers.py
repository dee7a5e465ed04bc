"""
Chooses the operation in a traced rule that writes the new value of each state.

A state is the parameter or a slot. A program that runs in place needs a separate operation to write
each state, and no later operation may read the old value. Most rules have such operations.

But a rule is pure, so its result for a state may be anything. It may be the old value of another
slot, or the gradient, or one value for two slots. It may also be computed too early, before the old
value is read for the last time. For such results:

1. an old value that goes to another state is copied there before all operations;
2. a result that no operation reads is computed after all other results;
3. a result that would still be written too early gets other memory, and is copied to its state at
   the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from optcore.optimizers.engine.tracing.operations import copied, operations


class Writers:
    """
    The operations that write the new values of states.

    Attributes:
        written: operation -> the state that it writes. States that keep their value do not occur.
    """

    def __init__(self, graph: fx.Graph, states: Sequence[fx.Node]) -> None:
        """
        Start with an empty `written`; `add` fills it.

        Args:
            graph: the traced rule: placeholders, operations, output.
            states: the placeholders of the parameter, the gradient and the slots.
        """
        self.written: dict[fx.Node, fx.Node] = {}
        self._graph, self._grad = graph, states[1]
        # The last placeholder and the end of the operations that the rule itself has.
        self._start = next(n for n in reversed(graph.nodes) if n.op == "placeholder")
        self._end = next(n for n in graph.nodes if n.op == "output")
        self._sunk: set[fx.Node] = set()

    def add(self, state: fx.Node, result: fx.Node) -> None:
        """
        Choose the operation that writes *result* to *state*.

        It is the operation that computes *result*, or an added operation that copies *result*.
        """
        if result is state:
            return
        if result is self._grad or result in self.written:
            writer = self._copied_last(result)
        elif result.op == "placeholder":
            with self._graph.inserting_after(self._start):
                writer = self._graph.call_function(copied, (result,))
        else:
            writer = result
        self.written[writer] = state

    def settle(self) -> None:
        """
        Remove unused operations, and move or copy results that would be written too early.

        Afterwards no operation reads the old value of a state after the new value is written.
        """
        for node in reversed(operations(self._graph)):
            if not node.users and node not in self.written:
                self._graph.erase_node(node)
        # Each result is moved at most once, then copied at most once, so this loop ends.
        while (writer := self._too_early()) is not None:
            if writer.users or writer in self._sunk:
                self.written[self._copied_last(writer)] = self.written.pop(writer)
            else:
                self._sunk.add(writer)
                self._end.prepend(writer)

    def _copied_last(self, result: fx.Node) -> fx.Node:
        """Add a last operation, which copies *result*. Return the new operation."""
        output = next(n for n in reversed(self._graph.nodes) if n.op == "output")
        with self._graph.inserting_before(output):
            copy = self._graph.call_function(copied, (result,))
        if self._end is output:
            # Copies write states, so an operation may only be moved to before the first copy.
            self._end = copy
        return copy

    def _too_early(self) -> fx.Node | None:
        """Return an operation that writes a state whose old value is read later, or else None."""
        order = {node: i for i, node in enumerate(self._graph.nodes)}
        for writer, state in self.written.items():
            if any(order[user] > order[writer] for user in state.users):
                return writer
        return None
