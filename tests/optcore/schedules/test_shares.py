"""A warmup may be a share of the run, rounded up as transformers does or down as Axolotl does."""

import numpy as np
import pytest

from optcore.schedules.make import make_schedule
from optcore.spec.errors import SpecError


@pytest.mark.parametrize(
    ("share", "total", "steps"),
    [
        # math.ceil(30 * 0.1) is 3 and math.ceil(203 * 0.1) is 21, in transformers 5.24.
        ({"fraction": 0.1}, 30, 3),
        ({"fraction": 0.1}, 203, 21),
        ({"fraction": 0.03}, 100, 3),
        ({"fraction": 0.1, "rounding": "down"}, 203, 20),
        ({"fraction": 0.29, "rounding": "down"}, 100, 28),
        # Axolotl warms up for 2 steps where its warmup would be 1.
        ({"fraction": 0.1, "rounding": "down"}, 13, 2),
    ],
)
def test_a_share_is_a_number_of_steps(share: dict[str, object], total: int, steps: int) -> None:
    spec = {"kind": "linear", "warmup": {"length": share}}
    same = {"kind": "linear", "warmup": {"length": steps}}

    curves = [make_schedule(each, lr=0.1, total_steps=total) for each in (spec, same)]

    t = np.arange(total)
    np.testing.assert_array_equal(curves[0](t), curves[1](t))


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1])
def test_a_share_is_between_0_and_1(fraction: float) -> None:
    spec = {"kind": "linear", "warmup": {"length": {"fraction": fraction}}}

    with pytest.raises(SpecError, match="fraction must be"):
        make_schedule(spec, lr=0.1, total_steps=10)


def test_a_share_of_no_step_is_no_rise() -> None:
    share = {"fraction": 0.01, "rounding": "down"}
    spec = {"kind": "linear", "dialect": "transformers", "warmup": {"length": share}}

    lr = make_schedule(spec, lr=0.1, total_steps=10)(np.arange(2))

    np.testing.assert_allclose(lr, [0.1, 0.09], rtol=1e-12)
