"""The state that an optimizer keeps for each parameter, as far as it is known without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from optcore.spec.optimizers.base import OptimizerSpec
    from optcore.spec.run import RunSpec


OF_SLOTS = ("adaptive", "amsgrad", "as_lion", "centered", "momentum", "velocity")
"""The flags of a rule (`OptimizerSpec.flags`) on which the names of its slots depend."""


class ParameterState(NamedTuple):
    """
    The state that the optimizer of a run keeps for one parameter.

    Two runs have different states for a parameter if one of the first five attributes differs.

    Attributes:
        kind: the name of the optimizer that updates the parameter.
        options: the fields that select the slots, if the slots of the optimizer depend on fields.
        size: the bytes of state if the parameter is float32, to about a percent.
        copies: whether the state includes a float32 copy of the parameter.
        averages: whether the state includes Keras' average of the parameter.
        group: text that describes the group of the parameter.
    """

    kind: str
    options: tuple[str, ...]
    size: int
    copies: bool
    averages: bool
    group: str

    def __str__(self) -> str:
        extra = [*self.options, *["float32 copies"] * self.copies, *["an average"] * self.averages]
        having = f" with {' and '.join(extra)}" if extra else ""
        return f"{self.kind}{having} ({self.size} bytes) in the group {self.group!r}"

    def fits(self, other: ParameterState | None) -> bool:
        """Return whether *other* is the same state; the attribute group may differ."""
        return other is not None and self[:-1] == other[:-1]


def states_of(run: RunSpec) -> dict[str, ParameterState]:
    """Return parameter name -> state of the optimizer, for the parameters that are trained."""
    shapes = {parameter.name: parameter.shape for parameter in run.parameters()}
    narrow = run.training.precision in ("bf16_true", "fp16_true")
    averages = run.training.keras_ema is not None
    return {
        name: ParameterState(
            group.spec.kind,
            _options(group.spec),
            group.spec.state_bytes(shapes[name]),
            narrow and group.spec.multi_precision,
            averages,
            group.match,
        )
        for group in run.groups()
        for name in group.names
    }


def _options(spec: OptimizerSpec) -> tuple[str, ...]:
    flags = spec.flags(single_precision=True)
    return tuple(name for name in OF_SLOTS if flags.get(name))
