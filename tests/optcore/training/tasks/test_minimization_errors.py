"""Every wrong pair of a function, a network, a loss and a field is refused, by its name."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec.errors import SpecError
from tests.support.optcore.runs.functions import spec_of

POINT = {"kind": "point"}
SEQUENTIAL = {"kind": "sequential"}
LINEAR = {"kind": "linear", "out_features": 2}


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        (
            "quadratic",
            {"model": {"kind": "mlp"}},
            "model: model must be point, or begin with a layer point, for quadratic, whose task "
            "is minimization, got mlp",
        ),
        (
            "rosenbrock",
            {"model": {"kind": "mnist_cnn"}},
            "model: model must be point, or begin with a layer point, for rosenbrock, whose task "
            "is minimization, got mnist_cnn",
        ),
        (
            "mnist",
            {},
            "model: model must not begin with a layer point for mnist, whose task is "
            "classification; point is for quadratic, rosenbrock, valley, got point",
        ),
        (
            "valley",
            {"loss": {"kind": "mse"}},
            "training.loss.kind: loss must be one of objective for valley, whose task is "
            "minimization, got mse",
        ),
        (
            "digits",
            {"model": {"kind": "mlp"}},
            "training.loss.kind: loss must be one of bce, cross_entropy, ctc, huber, l1, mse, nll "
            "for digits, whose task is classification, got objective",
        ),
        (
            "valley",
            {"model": {**POINT, "start": [1, 2, 3]}},
            "model: model must accept examples of valley, which are (features 2): layer point: "
            "start must have a number for each of the 2 dimensions, got 3 numbers",
        ),
        (
            "valley",
            {"model": {**POINT, "start": "zeros"}},
            "model.start: start must be a number from -1e+06 to 1e+06, or a list with such a "
            "number for each dimension, got 'zeros'",
        ),
        (
            "valley",
            {"model": {**POINT, "start": [1, 2e6]}},
            "model.start: start must be a number from -1e+06 to 1e+06, or a list with such a "
            "number for each dimension, got 2000000.0",
        ),
        (
            "quadratic",
            {"model": {**SEQUENTIAL, "layers": [POINT, LINEAR, POINT]}},
            "model: layer 2: point must be the first layer of the network, outside of blocks, "
            "since it ignores its input",
        ),
        (
            "diabetes",
            {
                "model": {
                    **SEQUENTIAL,
                    "layers": [
                        {"kind": "residual", "layers": [POINT]},
                        {"kind": "linear", "out_features": 1},
                    ],
                },
                "loss": {"kind": "mse"},
            },
            "model: layer 0.layers.0: point must be the first layer of the network, outside of "
            "blocks, since it ignores its input",
        ),
        (
            "quadratic",
            {"model": {**SEQUENTIAL, "layers": [{"kind": "residual", "layers": [POINT]}]}},
            "model: layer 0.layers.0: point must be the first layer of the network, outside of "
            "blocks, since it ignores its input",
        ),
        (
            "quadratic",
            {"model": {**SEQUENTIAL, "layers": [{**POINT, "start": 2, "init": {"x": "ones"}}]}},
            "model: layer 0: start must be 0 if init sets the coordinates",
        ),
        (
            "digits",
            {"model": {"kind": "mlp"}, "loss": {"kind": "mse"}, "columns": ["x0"]},
            "training.columns[0]: columns must not contain x0 for digits, whose task is "
            "classification; it is for the task minimization (quadratic, rosenbrock, valley)",
        ),
        (
            "quadratic",
            {"dataset": {"kind": "quadratic", "dimensions": 1}, "columns": ["x0", "x1"]},
            "training.columns[1]: columns must not contain x1 for quadratic, which has 1 dimension",
        ),
        (
            "rosenbrock",
            {"model": {**SEQUENTIAL, "layers": [POINT, LINEAR]}, "columns": ["grad_norm", "x1"]},
            "training.columns[1]: columns must not contain x1 if layers follow the point, since "
            "the loss is then computed from their output",
        ),
        (
            "rosenbrock",
            {"dataset": {"kind": "rosenbrock", "dimensions": 1}},
            "dataset.dimensions: dimensions must be at least 2, got 1",
        ),
        (
            "valley",
            {"dataset": {"kind": "valley", "validation": 0.1}},
            "dataset.validation: validation must be null for a function, whose evaluations have no "
            "noise, got 0.1",
        ),
        (
            "quadratic",
            {"metrics": ["macro_f1"]},
            "training.metrics[0]: metrics must be metrics of the task minimization (loss, "
            "distance), got 'macro_f1'",
        ),
    ],
)
def test_what_does_not_fit_is_named(kind: str, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(kind, **changes)

    assert str(caught.value) == text
