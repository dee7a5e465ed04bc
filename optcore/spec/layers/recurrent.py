"""Recurrent layers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.layers.base import (
    MAX_UNITS,
    SEQUENCE,
    LayerSpec,
    Parameter,
    TensorSpec,
    needs,
)

GATES = 3
"""Number of gates of a gated recurrent unit: reset, update and new."""

SAVED_PER_UNIT = 7
"""Number of values that torch keeps of each unit for its backward pass, as measured."""


class Gru(LayerSpec):
    """
    Gated recurrent units over a sequence, as torch.nn.GRU with batch_first.

    ::

        r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
        z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    h begins with zeros. weight_ih holds W_ir, W_iz and W_in, weight_hh the other three.

    References:
        Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, 2014.
        https://arxiv.org/abs/1406.1078
    """

    kind: Literal["gru"]
    hidden_size: int = Field(ge=1, le=MAX_UNITS)
    """Number of features of h."""
    num_layers: int = Field(1, ge=1, le=64)
    """Number of layers; each takes the outputs of the one before."""
    bidirectional: bool = False
    """Whether each layer also runs from the last position to the first; outputs are h of both."""
    bias: bool = True
    """Whether there are biases."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (length, hidden_size), or twice as many features if bidirectional."""
        needs(self, given, SEQUENCE, hint="permute makes a sequence of a signal or an image")
        return TensorSpec((given.shape[0], self.hidden_size * (1 + self.bidirectional)), SEQUENCE)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight_ih, weight_hh, bias_ih and bias_hh of each layer and direction."""
        hidden, found = self.hidden_size, []
        for layer, features in enumerate(self._inputs(given)):
            for end in ("", "_reverse")[: 1 + self.bidirectional]:
                name = f"l{layer}{end}"
                found += [
                    Parameter(f"weight_ih_{name}", (GATES * hidden, features)),
                    Parameter(f"weight_hh_{name}", (GATES * hidden, hidden)),
                ]
                if self.bias:
                    found += [
                        Parameter(f"bias_ih_{name}", (GATES * hidden,)),
                        Parameter(f"bias_hh_{name}", (GATES * hidden,)),
                    ]
        return found

    def flops(self, given: TensorSpec) -> int:
        """Return 2 operations per weight and position."""
        weights = sum(
            each.size for each in self.parameters(given) if each.name.startswith("weight")
        )
        return 2 * given.shape[0] * weights

    def saved(self, given: TensorSpec) -> int:
        """Return the values that torch keeps of each cell: gates, products and states."""
        cells = given.shape[0] * self.num_layers * (1 + self.bidirectional)
        return cells * SAVED_PER_UNIT * self.hidden_size

    def _inputs(self, given: TensorSpec) -> list[int]:
        """Return the number of features that each layer takes."""
        between = self.hidden_size * (1 + self.bidirectional)
        return [given.shape[1], *[between] * (self.num_layers - 1)]
