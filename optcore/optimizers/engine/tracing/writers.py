"""
Which operation of a traced rule writes the new value of each state.

A state is the parameter or a slot. A rule is pure, so its results may be anything: the old value of
another slot, the gradient, one value for two slots, a value that is known before the old one was
read for the last time. In place, each state is written by one operation of its own, and after it
nobody reads the old value. Most rules are like that already, and nothing changes. Else:

1. an old value that goes to another state is copied there before all operations;
2. a result that no operation reads is computed after all others;
3. what is still written too early gets memory of its own, and is copied to its state at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from optcore.optimizers.engine.tracing.operations import copied, operations


class Writers:
    """
    The operations that write the new values of states.

    Attributes:
        of: operation -> the state that it writes; a state that keeps its value has none.
    """

    def __init__(self, graph: fx.Graph, states: Sequence[fx.Node]) -> None:
        """
        Find none yet: `add` does.

        Args:
            graph: the traced rule: placeholders, operations, output.
            states: the placeholders of the parameter, the gradient and the slots.
        """
        self.of: dict[fx.Node, fx.Node] = {}
        self._graph, self._grad = graph, states[1]
        # The last placeholder and the end of the operations that the rule itself has.
        self._start = next(n for n in reversed(graph.nodes) if n.op == "placeholder")
        self._end = next(n for n in graph.nodes if n.op == "output")
        self._sunk: set[fx.Node] = set()

    def add(self, state: fx.Node, result: fx.Node) -> None:
        """Let an operation write *result* to *state*: that which computes it, or a copy."""
        if result is state:
            return
        if result is self._grad or result in self.of:
            writer = self._copied_last(result)
        elif result.op == "placeholder":
            with self._graph.inserting_after(self._start):
                writer = self._graph.call_function(copied, (result,))
        else:
            writer = result
        self.of[writer] = state

    def settle(self) -> None:
        """Drop what nobody needs; move or copy results until no old value is read too late."""
        for node in reversed(operations(self._graph)):
            if not node.users and node not in self.of:
                self._graph.erase_node(node)
        # Each result is moved at most once, then copied at most once, so this ends.
        while (writer := self._too_early()) is not None:
            if writer.users or writer in self._sunk:
                self.of[self._copied_last(writer)] = self.of.pop(writer)
            else:
                self._sunk.add(writer)
                self._end.prepend(writer)

    def _copied_last(self, result: fx.Node) -> fx.Node:
        """Return a copy of *result* after everything else."""
        output = next(n for n in reversed(self._graph.nodes) if n.op == "output")
        with self._graph.inserting_before(output):
            copy = self._graph.call_function(copied, (result,))
        if self._end is output:
            # Copies read no state, so what is moved may not come after the first of them.
            self._end = copy
        return copy

    def _too_early(self) -> fx.Node | None:
        """Return an operation that writes a state whose old value is read later."""
        order = {node: i for i, node in enumerate(self._graph.nodes)}
        for writer, state in self.of.items():
            if any(order[user] > order[writer] for user in state.users):
                return writer
        return None
