"""Adafactor in the dialects where a recording does not show everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import optcore
from optcore.optimizers.engine.group_update import compile_group
from optcore.optimizers.make import parse


def test_a_fixed_lr_is_that_of_transformers() -> None:
    """The numbers are those of transformers 5.24: Adafactor(lr=0.1, relative_step=False, ...)."""
    w = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64, requires_grad=True)
    spec = {"kind": "adafactor", "dialect": "transformers", "lr": 0.1, "relative_step": False}
    optimizer = optcore.make_optimizer([("w", w)], {**spec, "weight_decay": 0.1, "beta1": 0.5})
    gradients = [
        [[0.5, -0.25], [1.0, 2.0]],
        [[-0.5, 0.25], [0.125, 1.0]],
        [[0.0, -1.0], [0.25, -0.5]],
    ]

    seen = []
    for grad in gradients:
        w.grad = torch.tensor(grad, dtype=torch.float64)
        optimizer.step()
        seen.append(w.detach().flatten().tolist())

    expected = [
        [0.8334971048140799, -1.9213061018111879, 0.41674855240703995, 2.8614867897105523],
        [0.9067430648731786, -1.9103362539433655, 0.3586578072125477, 2.7099790322502932],
        [0.9351372016863114, -1.7652806039616673, 0.28871563842582404, 2.6494585041991043],
    ]
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "slots"),
    [
        ((127, 300), {"variance"}),
        ((128, 300), {"row_var", "col_var"}),
        ((3, 200, 2, 128), {"row_var", "col_var"}),
        ((300,), {"variance"}),
    ],
)
def test_optax_factors_the_two_largest_dimensions_from_128_on(
    shape: tuple[int, ...], slots: set[str]
) -> None:
    update = compile_group(parse({"kind": "adafactor", "dialect": "optax"}), single_precision=True)
    assert update.rule.shapes is not None

    found = update.rule.shapes(torch.Size(shape), update.numbers)

    assert found.keys() - {"exp_avg"} == slots
    if shape == (3, 200, 2, 128):
        assert found["row_var"] == (3, 1, 2, 128)
        assert found["col_var"] == (3, 200, 2, 1)
