"""
Built-in networks give the numbers that torchvision and PaddleOCR give.

`GOLDEN_DIR` names another folder of recorded networks.
"""

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optcore.networks.layers.dropout import Dropout
from optcore.spec.tasks.tasks import Target
from optcore.training.losses import loss_of
from tests.support.optcore.goldens import Case
from tests.support.optcore.networks import (
    Recorded,
    cases,
    network_of,
    of_torchvision,
    totals,
    u,
)

CASES = cases()
RTOL = 2e-11
"""The recorded sums have 12 digits."""
STATISTICS = ("mean", "var", "counter")
"""Kinds of tensors without a gradient."""
NOISE = 1e-20
"""Share of the sum of all squares below which a gradient is zero by mathematics."""


def close(found: Tensor, total: float, squares: float) -> bool:
    """Return whether the sum of *found* and of its squares are *total* and *squares*."""
    found = found.detach()
    noise = 1e-11 * np.sqrt(found.numel() * squares)
    return bool(
        np.isclose(float(found.sum()), total, rtol=RTOL, atol=noise)
        and np.isclose(float(found.square().sum()), squares, rtol=RTOL, atol=0)
    )


def check_output(found: Tensor, wanted: dict[str, Any]) -> None:
    values = wanted["values"] if "values" in wanted else wanted["first"]
    assert [*found.shape] == wanted["shape"]
    first = found.detach().flatten()[: len(values)].numpy()
    np.testing.assert_allclose(first, values, rtol=1e-10, atol=1e-10 * np.abs(values).max())
    assert close(found, wanted["sum"], wanted["sumsq"])


def run(recorded: Recorded, given: Tensor, *, training: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the output, and a copy of what each recorded block returns; without dropout."""
    recorded.module.train(training)
    for layer in recorded.module.modules():
        if isinstance(layer, Dropout):
            layer.p = 0
    found: dict[str, Tensor] = {}
    hooks = []
    for name, *_ in recorded.case["blocks"]:
        ours = recorded.block(name)
        if ours is not None:

            def keep(_: nn.Module, __: Any, output: Tensor, name: str = name) -> None:
                found[name] = output.detach().clone()

            hooks.append(recorded.layer(ours).register_forward_hook(keep))
    output = recorded.module(given)
    for hook in hooks:
        hook.remove()
    return output, found


def check_blocks(recorded: Recorded, found: dict[str, Tensor], first: int) -> None:
    """Check the sums in the columns *first* and *first* + 1; the first wrong one is named."""
    for name, shape, *numbers in recorded.case["blocks"]:
        if name in found:
            assert found[name].numel() == np.prod(shape), name
            assert close(found[name], *numbers[first : first + 2]), name


def test_the_formula_is_that_of_the_recording() -> None:
    wanted = [0.2164021828211844, 0.10016382159665227, -0.7345444830134511, -0.9850658089853823]

    assert u(4, 0).tolist() == wanted
    assert u(3, 1)[0] == -0.9028856582008302
    assert u(2, 100_000)[1] == -0.032433247193694115


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_a_network_is_the_recorded_one(case: Case) -> None:
    """Parameters, outputs, loss, gradients, statistics and each block, in float64."""
    recorded = Recorded(case)
    model = recorded.module

    assert recorded.network.num_parameters == case["parameters"]
    assert sum(each.numel() for each in model.parameters()) == case["parameters"]

    with torch.no_grad():
        output, blocks = run(recorded, recorded.input(), training=False)
    check_blocks(recorded, blocks, 0)
    # PaddleOCR's heads end in softmax in evaluation.
    is_paddleocr = case["framework"] == "paddleocr"
    check_output(output.softmax(-1) if is_paddleocr else output, case["eval"]["output"])

    given = recorded.input()
    output, blocks = run(recorded, given, training=True)
    loss = loss_of(recorded.loss, recorded.target)(output, recorded.labels)
    loss.backward()
    check_blocks(recorded, blocks, 2)
    check_output(output, case["train"]["output"])
    assert float(loss.detach()) == pytest.approx(case["train"]["loss"], rel=1e-10)
    assert given.grad is not None
    squares = float(given.grad.square().sum())
    assert squares == pytest.approx(case["train"]["input_grad_sumsq"], rel=RTOL)
    check_tensors(recorded)


def check_tensors(recorded: Recorded) -> None:
    """Check the gradients and the running statistics."""
    rows = recorded.case["tensors"]
    total = sum(row[4] for row in rows if row[3] not in STATISTICS)
    buffers = 0
    for ours, (name, _, _, kind, *numbers) in zip(recorded.tensors, rows, strict=True):
        if kind in STATISTICS:
            buffer = recorded.module.get_buffer(ours)
            buffers += buffer.numel()
            if kind == "counter":
                assert int(buffer) == numbers[0], name
            else:
                assert close(buffer, *numbers), name
            continue
        grad = recorded.module.get_parameter(ours).grad
        assert grad is not None, name
        squares = float(grad.square().sum())
        noise = NOISE * total if numbers[0] == 0 else 0
        assert squares == pytest.approx(numbers[0], rel=RTOL, abs=noise), name
    assert buffers == recorded.case["buffers"]


@pytest.mark.parametrize("name", totals())
def test_a_constructor_of_torchvision_has_this_many_parameters(name: str) -> None:
    """Without torch."""
    constructor, _, args = name.rstrip(")").partition("(")
    given = {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", args)}
    spec, outputs = of_torchvision(constructor, given)

    network = network_of(spec, Target("classification", outputs), (3, 224, 224))

    assert network.num_parameters == totals()[name]
