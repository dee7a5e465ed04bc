"""Numbers that each update of a parameter computes for the next one (`Rule.carries`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class CarriedNumbers:
    """
    The carried numbers of several parameters: what an update computes for the next update.

    Some rules can compute these numbers again from the count of a parameter's updates, if no
    hyperparameter has changed (`Rule.implied`). The numbers are then called implied, and
    checkpoints leave them out.

    Attributes:
        names: the names of the numbers.
        may_be_implied: whether the rule has a function `Rule.implied`.
        implied: whether the present numbers are implied.
        missing: index of a parameter -> the names of the numbers that a loaded state lacks for it.
    """

    def __init__(
        self, names: Sequence[str], num_params: int, dtype: torch.dtype, *, may_be_implied: bool
    ) -> None:
        self.names = tuple(names)
        self.may_be_implied = self.implied = may_be_implied
        self.missing: dict[int, Sequence[str]] = {}
        self._made_with: tuple[float, ...] | None = None
        # On the CPU, so that reading a number waits for no GPU.
        self._values = torch.zeros(len(names), num_params, dtype=dtype)
        # The same memory: numpy reads a number in a fifth of the time that torch takes.
        self._array = self._values.numpy()
        # The bytes of numbers that are known to be even, and the numbers if these were written in
        # double. Comparing bytes takes a tenth of the time.
        self._even = b""
        self._row: Mapping[str, float] | None = None

    def views(self, i: int) -> dict[str, Tensor]:
        """Return the numbers of parameter *i* by name, as views."""
        return {name: self._values[j, i] for j, name in enumerate(self.names)}

    def are_even(self) -> bool:
        """Return whether all parameters have equal numbers."""
        if (now := self._array.tobytes()) == self._even:
            return True
        if not (self._array == self._array[:, :1]).all():
            return False
        self._even, self._row = now, None
        return True

    def of(self, start: int, stop: int) -> CarriedPart:
        """Return the numbers of the parameters from index *start* to *stop*."""
        return CarriedPart(self, start, stop)

    def read(self, i: int) -> dict[str, float]:
        """Return the numbers of parameter *i* by name."""
        if self._row is not None and self._array.tobytes() == self._even:
            return dict(self._row)
        return dict(zip(self.names, self._array[:, i].tolist(), strict=True))

    def write(self, start: int, stop: int, values: Mapping[str, float]) -> None:
        """Give the parameters from index *start* to *stop* the numbers *values*, by name."""
        if tuple(values) == self.names:  # in one assignment, which takes half the time
            self._array.T[start:stop] = list(values.values())
            if stop - start == self._array.shape[1]:
                self._even = self._array.tobytes()
                self._row = values if self._values.dtype == torch.float64 else None
            return
        for name, value in values.items():
            self._array[self.names.index(name), start:stop] = value

    def note(self, made_with: tuple[float, ...]) -> None:
        """
        Record the hyperparameters *made_with*, from which an update computed the numbers.

        If these hyperparameters differ from those of the update before, `implied` becomes false.
        """
        if self._made_with not in (None, made_with):
            self.implied = False
        self._made_with = made_with

    def note_last(self, made_with: tuple[float, ...]) -> None:
        """
        Set `implied` to false if the last update used other hyperparameters than *made_with*.

        When a checkpoint is loaded, implied numbers are computed from *made_with*, the
        hyperparameters that the schedules have for the last update.
        """
        if self._made_with not in (None, made_with):
            self.implied = False

    def follow(self, old: CarriedNumbers) -> None:
        """Copy from *old* whether its numbers are implied, and what they were computed from."""
        self.implied, self._made_with = old.implied, old._made_with


class CarriedPart(NamedTuple):
    """The carried numbers of the parameters that one call of an engine updates."""

    numbers: CarriedNumbers
    start: int
    stop: int

    def read(self) -> dict[str, float]:
        """Return the numbers by name, which are the same for all of the parameters."""
        return self.numbers.read(self.start)

    def write(self, values: Mapping[str, float]) -> None:
        """Set the numbers to *values*."""
        self.numbers.write(self.start, self.stop, values)
