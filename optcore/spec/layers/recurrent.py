"""Recurrent layers, which read a sequence position by position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.layers.base import (
    MAX_UNITS,
    SEQUENCE,
    LayerSpec,
    Parameter,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import PRESENT, Reach


class Recurrent(LayerSpec):
    """The base of recurrent layers: their sizes, and their parameters by torch's names."""

    GATES: ClassVar[int]
    """Number of values that are computed for each unit and position."""
    SAVED: ClassVar[int]
    """Number of values of each unit and position that are kept for the backward pass on a CPU."""

    hidden_size: int = Field(ge=1, le=MAX_UNITS)
    """Number of units: of features of h."""
    num_layers: int = Field(1, ge=1, le=64)
    """Number of layers; each reads the outputs of the one before it."""
    bidirectional: bool = False
    """Whether each layer also reads the sequence from its end; its outputs are h of both."""
    bias: bool = True
    """Whether there are biases."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability with which, in training, a value of the output of each layer but the last is set
    to 0; all others are multiplied by 1 / (1 - dropout). The last layer's output has none."""

    @property
    def draws(self) -> bool:
        """Whether the layer draws random numbers in training: with dropout between two layers."""
        return self.dropout > 0 and self.num_layers > 1

    @property
    def directions(self) -> int:
        """Number of directions in which each layer reads the sequence."""
        return 2 if self.bidirectional else 1

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (length, hidden_size), or (length, 2 * hidden_size) if bidirectional."""
        needs(self, given, SEQUENCE, hint="permute makes a sequence of a signal or an image")
        return TensorSpec((given.shape[0], self.directions * self.hidden_size), SEQUENCE)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output depends on no later position; if bidirectional, on all."""
        return Reach.all_of(given.positions) if self.bidirectional else PRESENT

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight_ih_l0 (gates * hidden_size, in), weight_hh_l0, bias_ih_l0, ..."""
        return list(self._parameters(given.shape[-1]))

    def flops(self, given: TensorSpec) -> int:
        """Return 2 operations per weight and position."""
        weights = sum(each.size for each in self.parameters(given) if "weight" in each.name)
        return 2 * given.shape[0] * weights

    def saved(self, given: TensorSpec) -> int:
        """Return how many values the cells keep, and the inputs and masks of dropout."""
        each = given.shape[0] * self.directions * self.hidden_size
        dropped = 2 * (self.num_layers - 1) * self.draws
        return each * (self.SAVED * self.num_layers + dropped)

    def _parameters(self, features: int) -> Iterator[Parameter]:
        gates = self.GATES * self.hidden_size
        for layer in range(self.num_layers):
            for end in ("", "_reverse")[: self.directions]:
                yield Parameter(f"weight_ih_l{layer}{end}", (gates, features))
                yield Parameter(f"weight_hh_l{layer}{end}", (gates, self.hidden_size))
                if self.bias:
                    yield Parameter(f"bias_ih_l{layer}{end}", (gates,))
                    yield Parameter(f"bias_hh_l{layer}{end}", (gates,))
            features = self.directions * self.hidden_size


class Lstm(Recurrent):
    """
    A long short-term memory over a sequence, as torch.nn.LSTM with batch_first.

    ::

        i, f, o = sigmoid(W x + b + U h + d)
        g       = tanh(W x + b + U h + d)
        c'      = f * c + i * g
        h'      = o * tanh(c')

    x is the input at a position. h and c are the values from the position before, 0 at the first
    position; h' and c' are the new values, and h' is the output. Each of i, f, o and g has matrices
    W and U and biases b and d of its own.

    If the layer is bidirectional, a second LSTM reads the sequence from its end, and the output is
    the h' of both, concatenated. If there are several layers, each reads the output of the layer
    before it, after dropout.

    References:
        Hochreiter and Schmidhuber, Long Short-Term Memory, 1997. torch.nn.LSTM.
    """

    GATES: ClassVar[int] = 4
    # What oneDNN keeps for float32; torch's own code keeps 9.
    SAVED: ClassVar[int] = 24

    kind: Literal["lstm"]

    def workspace(self, given: TensorSpec) -> int:
        """Return how many values oneDNN needs for gates and copies of the input, as measured."""
        between = self.directions * self.hidden_size * (self.num_layers > 1)
        widest = max(given.shape[-1], between)
        return round(given.shape[0] * (3.8 * self.hidden_size + 2.8 * widest))


class Gru(Recurrent):
    """
    Gated recurrent units over a sequence, as torch.nn.GRU with batch_first.

    ::

        r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
        z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    x is the input at a position. h is the output at the position before (0 at the first position),
    and h' is the output. weight_ih holds W_ir, W_iz and W_in; weight_hh holds W_hr, W_hz and W_hn.

    If there are several layers, each reads the output of the layer before it, after dropout.

    References:
        Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014.
        https://arxiv.org/abs/1406.1078
    """

    GATES: ClassVar[int] = 3
    SAVED: ClassVar[int] = 7  # as measured

    kind: Literal["gru"]

    def workspace(self, given: TensorSpec) -> int:
        """Return the number of gates, with the states or with the input, whichever is larger."""
        gates, between = self.GATES * self.directions, self.directions * (self.num_layers > 1)
        with_states = (gates + 1 + between) * self.hidden_size
        with_input = gates * self.hidden_size + given.shape[-1]
        return given.shape[0] * max(with_states, with_input)
