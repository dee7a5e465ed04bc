"""Outputs that later layers of a network attend to."""

from __future__ import annotations

from collections import ChainMap

from torch import Tensor, nn


class Memory:
    """
    Holds the output of a layer from when it is computed until all that attend to it have read it.

    It is no module: what it holds is no state, and is gone after a forward pass.
    """

    def __init__(self) -> None:
        self.readers = 0
        """Number of layers that read it in each forward pass."""
        self._value: Tensor | None = None
        self._left = 0

    def keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        """Keep *output*; a forward hook of the layer that returns it."""
        self._value, self._left = output, self.readers

    def read(self) -> Tensor:
        """Return the output; the last of the readers leaves nothing."""
        found = self._value
        assert found is not None
        self._left -= 1
        if not self._left:
            self._value = None
        return found


class Memories:
    """
    The memories that the layers of a list can read, by the paths of the layers that return them.

    Args:
        known: those of the lists around, and an empty mapping for its own.
    """

    def __init__(self, known: ChainMap[str, Memory] | None = None) -> None:
        self._known = ChainMap[str, Memory]() if known is None else known

    def inside(self) -> Memories:
        """Return the memories of a list in this one, which has these too."""
        return Memories(self._known.new_child())

    def keep(self, path: str, module: nn.Module) -> None:
        """Let the layer at *path*, which is *module*, be a memory."""
        memory = self._known[path] = Memory()
        # A method, which is copied together with the module.
        module.register_forward_hook(memory.keep)

    def read(self, path: str) -> Memory:
        """Return the memory at *path* for one more reader."""
        memory = self._known[path]
        memory.readers += 1
        return memory
