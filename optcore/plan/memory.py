"""
The memory that a run takes, estimated from its spec without torch.

The estimate counts the tensors that torch has allocated at the same time on a CPU. It does not
count the memory of the process itself, of its libraries and of the allocator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from optcore.spec.layers.activations import Relu
from optcore.spec.layers.dropout import Dropout
from optcore.spec.layers.pooling import MaxPool2d
from optcore.spec.layers.shaping import Flatten
from optcore.spec.networks.network import Network
from optcore.spec.networks.order import OWN_OUTPUT, computed, parent
from optcore.spec.networks.tree import Node
from optcore.spec.run import RunSpec
from optcore.spec.tasks.tasks import Target
from optcore.spec.training import Precision

EVALUATED_TOGETHER = 1000
"""Number of examples in a batch of an evaluation: large enough to be fast, small enough for any
GPU."""
EVALUATED_TOKENS = 16_384
"""Largest number of tokens in such a batch of a language model."""
INDEX_BYTES = 8
"""Bytes of the position that a max-pool keeps for each of its outputs."""
GATHERED = 65_536
"""Number of elements below which the gradient of a parameter is copied into a buffer."""
DOUBLE = 8
"""Bytes of a float64."""
HALF = 2
"""Bytes of a number in 16 bits."""
PARAMETER_BYTES: dict[Precision, int] = {"fp64": 8, "bf16_true": HALF, "fp16_true": HALF}
"""Bytes of a parameter; 4 in all other precisions."""
HALF_ACTIVATIONS: frozenset[Precision] = frozenset({"bf16", "fp16", "mindspore_o2", "mindspore_o3"})
"""Precisions with parameters in float32 and activations in 16 bits."""


@dataclass(frozen=True)
class Memory:
    """
    Bytes that the tensors of a run take.

    Attributes:
        dataset: all examples.
        parameters: the weights, and copies of them (moving averages, lookahead, float32 copies).
        state: the state of the optimizer.
        step: gradients, activations and the batch, at the moment of a step when they take most.
        evaluation: activations, the batch and the gradients of the last step, at the moment of an
            evaluation when they take most.
    """

    dataset: int
    parameters: int
    state: int
    step: int
    evaluation: int

    @classmethod
    def of(cls, run: RunSpec) -> Memory:
        """Return the estimate for *run*."""
        precision, training = run.training.precision, run.training
        wide = PARAMETER_BYTES.get(precision, 4)
        number = HALF if precision in HALF_ACTIVATIONS else wide
        weights = run.num_parameters * wide
        copies = sum((training.ema is not None, training.lookahead is not None))
        multi = 4 * run.num_parameters if run.optimizer.multi_precision and wide == HALF else 0
        data = run.dataset
        layers = _measured(run.network)
        cast = weights // 2 if number != wide else 0  # autocast keeps a copy in 16 bits
        return cls(
            dataset=data.memory_bytes,
            parameters=weights * (1 + copies) + multi,
            state=_state(run) * (4 if run.optimizer.in_float32 else wide) // 4,
            step=cast + _step(run, layers, data.batch_size, number, wide),
            evaluation=cast
            + _evaluation(
                run, layers, min(evaluated(data.target), data.test_examples), number, wide
            ),
        )

    @property
    def total(self) -> int:
        """The largest number of bytes that the run takes at a time, with the dataset."""
        return self.dataset + self.peak

    @property
    def peak(self) -> int:
        """The largest number of bytes that the run takes at a time, without the dataset."""
        return self.parameters + self.state + max(self.step, self.evaluation)


def evaluated(target: Target) -> int:
    """Return the number of examples in a batch of an evaluation, for the targets of a dataset."""
    if target.task != "language_model":
        return EVALUATED_TOGETHER
    # Metrics take the logits of all tokens as float64.
    return max(1, min(EVALUATED_TOGETHER, EVALUATED_TOKENS // target.longest))


@dataclass(frozen=True)
class _Layer:
    """
    What determines the memory that a layer takes.

    Attributes:
        inputs: number of elements in the input for an example.
        outputs: number of elements in the output for an example.
        parameters: number of elements in the parameters.
        is_view: whether the output shares the memory of the input.
        is_flatten: whether the gradient of the input also shares the memory of the gradient of the
            output.
        saved: number of values that are kept for the backward pass, per element of the output.
        inner: number of values that are kept besides, for an example.
        index: further bytes that are kept for the backward pass, per element of the output.
    """

    inputs: int
    outputs: int
    parameters: int
    is_view: bool
    is_flatten: bool
    saved: int
    inner: int
    index: int


# Networks are shared (`network_of`), and most jobs have one of a few.
@lru_cache(maxsize=64)
def _measured(network: Network) -> tuple[_Layer, ...]:
    found: list[_Layer] = []
    before: Node | None = None
    for node in computed(network.leaves):
        layer = node.layer
        inplace = (
            isinstance(layer, Relu)
            and before is not None
            and parent(before.path) == parent(node.path)
            and isinstance(before.layer, OWN_OUTPUT)
        )
        is_flatten = isinstance(layer, Flatten)
        is_view = inplace or is_flatten
        measured = _Layer(
            inputs=node.given.size,
            outputs=node.output.size,
            parameters=sum(parameter.size for parameter in layer.parameters(node.given)),
            is_view=is_view,
            is_flatten=is_flatten,
            # A dropout keeps the mask that it multiplied by.
            saved=0 if is_view else 2 if isinstance(layer, Dropout) else 1,
            inner=layer.saved(node.given),
            index=INDEX_BYTES if isinstance(layer, MaxPool2d) else 0,
        )
        found += [measured] * node.copies
        before = node
    return tuple(found)


@lru_cache(maxsize=64)
def _gathered(network: Network) -> int:
    """Return the number of elements in the parameters whose gradients are copied."""
    sizes = (prod(parameter.shape) for parameter in network.parameters)
    return sum(size for size in sizes if size < GATHERED)


def _state(run: RunSpec) -> int:
    shapes = {parameter.name: parameter.shape for parameter in run.parameters()}
    return sum(
        group.spec.state_bytes(shapes[name]) for group in run.groups() for name in group.names
    )


def _batch(run: RunSpec, size: int, number: int, *, stored: bool = False) -> int:
    """
    Return the bytes of the inputs and targets of a batch.

    With *stored*, the inputs as the dataset stores them are counted too, if their dtype differs.
    """
    original = run.dataset.value_bytes
    # A batch that needs no conversion is not copied.
    each = prod(run.dataset.shape) * (number + (original if stored and original != number else 0))
    return size * (each + 8 * run.dataset.target.longest)


def _step(run: RunSpec, layers: Sequence[_Layer], batch: int, number: int, wide: int) -> int:
    """Return the largest number of bytes that gradients, activations and batch take in a step."""
    # What the forward pass of each layer adds to what lives until its backward pass.
    saved = [
        batch * (layer.outputs * (number * layer.saved + layer.index) + number * layer.inner)
        for layer in layers
    ]
    served = _batch(run, batch, number)
    # The loss keeps the log-probabilities of the outputs, and makes a gradient of them.
    outputs = batch * number * layers[-1].outputs
    alive = served + sum(saved) + 2 * outputs
    gradients, most, flowing = 0, alive, outputs
    # The gradient of the examples themselves is not computed.
    first = next((i for i, layer in enumerate(layers) if layer.parameters), len(layers))
    for i in reversed(range(len(layers))):
        layer = layers[i]
        backward = 0 if i <= first or layer.is_flatten else batch * number * layer.inputs
        gradients += layer.parameters * wide
        most = max(most, alive + gradients + flowing + backward)
        alive -= saved[i]
        flowing = backward or flowing
    update = served + gradients + _gathered(run.network) * wide
    # The gradients of the step before are there until the batch is ready.
    serving = _batch(run, batch, number, stored=True) + gradients
    return max(most, update, serving)


def _evaluation(run: RunSpec, layers: Sequence[_Layer], batch: int, number: int, wide: int) -> int:
    """Return the largest number of bytes in an evaluation, with the gradients of the last step."""
    most, taken = 0, 0  # the first layers take the batch, which is counted below
    for layer in layers:
        if layer.is_view:
            continue
        most = max(most, taken + (number + layer.index) * layer.outputs)
        taken = number * layer.outputs
    if run.dataset.target.task == "language_model":
        # Metrics take the outputs, and the logarithms of their probabilities, as float64.
        most = max(most, taken + 2 * DOUBLE * layers[-1].outputs)
    return _batch(run, batch, number) + batch * most + run.num_parameters * wide
