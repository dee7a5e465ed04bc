"""Chooses the memory for every result in a traced rule."""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx


class Allocator:
    """
    Chooses the memory for every result: register allocation by a linear scan over the operations.

    The registers are the parameter, its slots, and scratch buffers. Every scratch buffer takes
    space in the cache, so there are as few as possible. A result goes to the first of these places
    that exists:

    1. the parameter or slot whose new value the result is;
    2. a parameter or slot that the operation reads, if its memory is not needed meanwhile: no
       later operation reads the old value, and no operation that uses the result comes after the
       operation that writes the new value;
    3. a scratch buffer whose value is no longer needed;
    4. a new scratch buffer.

    Attributes:
        scratch: the placeholders of the scratch buffers.
    """

    def __init__(
        self, graph: fx.Graph, destinations: Mapping[fx.Node, fx.Node], end: fx.Node
    ) -> None:
        """
        Find the last operation that uses each value in *graph*; `out` needs to know it.

        Args:
            graph: the traced rule: placeholders, operations, output. No operation has an ``out=``
                yet.
            destinations: operation -> the parameter or slot that the operation writes. `Writers`
                ensures that no later operation reads the old value.
            end: the placeholder before which `out` inserts the placeholders for scratch buffers.
        """
        self.scratch: list[fx.Node] = []
        self._graph, self._destinations, self._end = graph, destinations, end
        self._order = {node: i for i, node in enumerate(graph.nodes)}
        # Computed before any node has an out=, which would count among what the node uses.
        self._last_use = {
            node: max((self._order[user] for user in node.users), default=-1)
            for node in self._order
        }
        # The gradient is not a destination, so its memory, which is autograd's, is never lent.
        self._written = {state: self._order[node] for node, state in destinations.items()}
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
        if state is not None:
            # Operations are elementwise, so an operation may read the old value that it overwrites.
            assert self._last_use[state] <= self._order[node], f"{state} is read after {node}"
            return state
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
        """
        Return a parameter or slot whose memory can hold the result of *node*; None if none can.

        The parameter or slot must meet two conditions. *node* is the last operation that uses what
        its memory holds. No operation that uses the result of *node* comes after the operation that
        writes the new value of the parameter or slot.
        """
        for operand in node.all_input_nodes:
            # The memory of a lent state is lent again at the last use of the result that it holds.
            state = self._borrowed.get(operand, operand)
            written = self._written.get(state)
            # At most equal: the operation that writes the state may itself read this result.
            unwritten = written is not None and self._last_use[node] <= written
            if unwritten and self._dies(operand, node):
                return state
        return None
