"""
The memory that a run takes, estimated from its spec without torch.

The estimate counts the tensors that torch has allocated at the same time on a CPU. It does not
count the memory of the process itself, of its libraries and of the allocator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from optcore.plan.memory.layers import LayerMemory, measured
from optcore.spec.former.runs import may_be_former
from optcore.spec.groups.resolve import ResolvedGroup
from optcore.spec.layers.base import Shape
from optcore.spec.networks.network import Network
from optcore.spec.run import RunSpec
from optcore.spec.tasks.tasks import Function
from optcore.spec.training import Precision

EVALUATED_TOGETHER = 1000
"""Largest number of examples in a batch of an evaluation, and the number in release 0.2.0."""
# Larger batches are slower on a CPU: each tensor is then mapped anew. Of batches of 1000 and of 32
# lines, the direction classifier of PaddleOCR evaluates the second in a quarter of the time.
EVALUATED_BYTES = {"cpu": 2**24, "cuda": 2**28}
"""Device -> about how many bytes a batch of an evaluation takes."""
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

LOSS_VALUES: dict[Function, int] = {"quadratic": 2, "rosenbrock": 4, "valley": 1}
"""How many values per coordinate of a point the loss and its gradient hold at a time."""


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
        training, number = run.training, _number_bytes(run)
        wide = PARAMETER_BYTES.get(training.precision, 4)
        weights, num_trained = run.num_parameters * wide, run.num_parameters - run.num_frozen
        copies = sum((training.ema is not None, training.lookahead is not None))
        multi = 4 * num_trained if run.optimizer.multi_precision and wide == HALF else 0
        data = run.dataset
        layers = measured(run.network, run.frozen)
        # Autocast keeps a copy of the trained weights in 16 bits.
        cast = num_trained * wide // 2 if number != wide else 0
        return cls(
            dataset=data.memory_bytes,
            parameters=weights + num_trained * wide * copies + multi,
            state=_state(run) * (4 if run.optimizer.in_float32 else wide) // 4,
            step=cast + _step(run, layers, data.batch_size, number, wide),
            evaluation=cast + _evaluation(run, layers, number, wide),
        )

    @property
    def total(self) -> int:
        """The largest number of bytes that the run takes at a time, with the dataset."""
        return self.dataset + self.peak

    @property
    def peak(self) -> int:
        """The largest number of bytes that the run takes at a time, without the dataset."""
        return self.parameters + self.state + max(self.step, self.evaluation)


def evaluated(run: RunSpec, device: str) -> int:
    """
    Return the number of examples in a batch of an evaluation.

    A batch has as many examples as fit into `EVALUATED_BYTES`, but at least as many as a batch of a
    step, which takes more memory. The result is at most `EVALUATED_TOGETHER`, and equal to it for a
    run that must have the results of release 0.2.0.

    Args:
        run: the description of the run.
        device: the device that evaluates: cpu or cuda.
    """
    layers = measured(run.network, run.frozen)
    fitting = EVALUATED_BYTES[device] // _evaluated_bytes(run, layers, _number_bytes(run))
    size = min(EVALUATED_TOGETHER, max(fitting, run.dataset.batch_size))
    # The last bits of a metric depend on the size of the batches.
    return EVALUATED_TOGETHER if size < EVALUATED_TOGETHER and may_be_former(run) else size


def state_bytes(group: ResolvedGroup, shapes: Mapping[str, Shape]) -> int:
    """Return the bytes of the optimizer's state for the parameters of *group*, as float32."""
    # A large network has many parameters of few shapes.
    counted = Counter(shapes[name] for name in group.names)
    return sum(times * group.spec.state_bytes(shape) for shape, times in counted.items())


def _number_bytes(run: RunSpec) -> int:
    """Return the bytes of an activation."""
    precision = run.training.precision
    return HALF if precision in HALF_ACTIVATIONS else PARAMETER_BYTES.get(precision, 4)


@lru_cache(maxsize=64)
def _gathered(network: Network, frozen: frozenset[str]) -> int:
    """Return the number of elements in the parameters whose gradients are copied."""
    if frozen:
        sizes = [prod(each.shape) for each in network.parameters if each.name not in frozen]
        return sum(size for size in sizes if size < GATHERED)
    return sum(
        node.copies * each.size
        for node in network.leaves
        for each in node.parameters
        if each.size < GATHERED and each.name not in node.layer.share
    )


def _state(run: RunSpec) -> int:
    return sum(state_bytes(group, run.shapes) for group in run.groups())


def _batch(run: RunSpec, size: int, number: int, *, stored: bool = False) -> int:
    """Return the bytes of a batch; if *stored*, with its inputs in the dtype of the dataset."""
    original = run.dataset.value_bytes
    # A batch that needs no conversion is not copied.
    each = prod(run.dataset.shape) * (number + (original if stored and original != number else 0))
    return size * (each + 8 * run.dataset.target.longest)


def _step(run: RunSpec, layers: Sequence[LayerMemory], batch: int, number: int, wide: int) -> int:
    """Return the largest number of bytes that gradients, activations and batch take in a step."""
    # What the forward pass of each layer adds to what lives until its backward pass.
    saved = [
        batch * (layer.outputs * (number * layer.saved + layer.index_bytes) + number * layer.inner)
        for layer in layers
    ]
    served = _batch(run, batch, number)
    outputs = batch * number * layers[-1].outputs
    objective = run.dataset.target.objective
    # Other losses keep the log-probabilities of the outputs, and make a gradient of them.
    values = 2 if objective is None else LOSS_VALUES[objective.function]
    if objective is not None and len(layers) == 1:
        values, saved = 0, [0]  # a point alone: all rows are one, whose value is computed once
    # The gradient of the examples themselves is not computed, and nothing before the first trained
    # layer is kept but what this layer takes.
    first = next((i for i, layer in enumerate(layers) if layer.trained), len(layers))
    before, is_taken = 0, True
    for i in reversed(range(first)):
        if not layers[i].is_view:
            around = layers[i].taken + layers[i].beside.forward
            before = max(before, batch * number * (around + layers[i].outputs))
            saved[i] = batch * number * layers[i].outputs * is_taken
            is_taken = False
    alive = served + sum(saved) + values * outputs
    gradients, most, flowing = 0, max(alive, served + before), outputs
    for i in reversed(range(len(layers))):
        layer = layers[i]
        backward = 0 if i <= first or layer.is_flatten else batch * number * layer.inputs
        gradients += layer.trained * wide
        others = batch * number * layer.beside.backward
        reordered = layer.reordered * number
        most = max(most, alive + gradients + flowing + backward + others + reordered)
        alive -= saved[i]
        flowing = backward or flowing
    # Every activation is freed by the time the optimizer updates the parameters.
    update = served + gradients
    # The gradients of the step before are there until the batch is ready.
    serving = _batch(run, batch, number, stored=True) + gradients
    return max(most, update, serving) + _gathered(run.network, run.frozen) * wide


def _evaluation(run: RunSpec, layers: Sequence[LayerMemory], number: int, wide: int) -> int:
    """Return the largest number of bytes in an evaluation, with the gradients of the last step."""
    device = "cuda" if run.training.device == "cuda" else "cpu"
    batch = min(evaluated(run, device), run.dataset.test_examples)
    trained = run.num_parameters - run.num_frozen + _gathered(run.network, run.frozen)
    return batch * _evaluated_bytes(run, layers, number) + trained * wide


def _evaluated_bytes(run: RunSpec, layers: Sequence[LayerMemory], number: int) -> int:
    """Return the bytes that an evaluation takes for each example of a batch."""
    most = 0
    for layer in layers:
        if not layer.is_view:
            taken = number * (layer.taken + layer.beside.forward + layer.workspace)
            most = max(most, taken + (number + layer.index_bytes) * layer.outputs)
    if run.dataset.target.task == "language_model":
        # Metrics take the outputs, and the logarithms of their probabilities, as float64.
        most = max(most, (number + 2 * DOUBLE) * layers[-1].outputs)
    return _batch(run, 1, number) + most
