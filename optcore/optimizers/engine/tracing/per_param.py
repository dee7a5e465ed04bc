"""Numbers in a traced rule that differ between the parameters in a range of memory."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, fx


class PerParam:
    """
    One number for each parameter in a range of memory. Arithmetic applies to each number.

    Attributes:
        values: the number of each parameter.
        split: a function that divides a tensor into one part per parameter. A part includes the gap
            between its parameter and the next parameter.
    """

    def __init__(
        self, values: Sequence[float], split: Callable[[Tensor], Sequence[Tensor]]
    ) -> None:
        self.values, self.split = values, split

    def _with(self, compute: Callable[[float, float], float], other: float | PerParam) -> PerParam:
        others = other.values if isinstance(other, PerParam) else [other] * len(self.values)
        return PerParam(list(map(compute, self.values, others)), self.split)

    def __neg__(self) -> PerParam:
        return PerParam([-value for value in self.values], self.split)

    def __mul__(self, other: float | PerParam) -> PerParam:
        return self._with(operator.mul, other)

    def __rmul__(self, other: float) -> PerParam:
        return self._with(lambda mine, theirs: theirs * mine, other)

    def __add__(self, other: float | PerParam) -> PerParam:
        return self._with(operator.add, other)

    def __radd__(self, other: float) -> PerParam:
        return self._with(lambda mine, theirs: theirs + mine, other)

    def __sub__(self, other: float | PerParam) -> PerParam:
        return self._with(operator.sub, other)

    def __rsub__(self, other: float) -> PerParam:
        return self._with(lambda mine, theirs: theirs - mine, other)

    def __truediv__(self, other: float | PerParam) -> PerParam:
        return self._with(operator.truediv, other)

    def __rtruediv__(self, other: float) -> PerParam:
        return self._with(lambda mine, theirs: theirs / mine, other)


def run_per_param(graph: fx.Graph, numbers: Sequence[fx.Node]) -> None:
    """Make the tensor operations that depend on *numbers* run once for each parameter."""
    late = set(numbers)
    for node in graph.nodes:
        if node.op != "call_function" or not late.intersection(node.all_input_nodes):
            continue
        if "out" in node.kwargs:
            node.target = _for_each(node.target)
        else:  # computes a number
            late.add(node)


def _for_each(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """
    Return a function that calls *function* once for each parameter.

    The returned function takes tensors that hold several parameters, and numbers, of which at least
    one is a `PerParam`.
    """

    def each(*args: Any, out: Tensor, **kwargs: Any) -> Tensor:  # noqa: ANN401  # tensors and numbers
        given = [*args, *kwargs.values()]
        split = next(value.split for value in given if isinstance(value, PerParam))
        parts = split(out)
        rows = zip(*[_split(value, split, len(parts)) for value in given], strict=True)
        num_args, names = len(args), list(kwargs)
        for part, row in zip(parts, rows, strict=True):
            more = dict(zip(names, row[num_args:], strict=True)) if names else {}
            function(*row[:num_args], **more, out=part)
        return out

    # fx writes the name into the source of the program.
    each.__name__ = each.__qualname__ = f"each_{getattr(function, '__name__', 'function')}"
    return each


def _split(
    value: Any,  # noqa: ANN401  # as above
    split: Callable[[Tensor], Sequence[Tensor]],
    count: int,
) -> Sequence[Any]:
    if isinstance(value, PerParam):
        return value.values
    if isinstance(value, Tensor):
        return split(value)
    return [value] * count
