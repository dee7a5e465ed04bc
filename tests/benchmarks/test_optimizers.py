"""The memory of a step, in the optimizers that take most of it."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.optimizers import MAX_MORE, VARIANTS, memory_of


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "lamb"},
        VARIANTS["lamb, cautious"],
        {"kind": "lion", "dialect": "optax", "cautious": True},
        {"kind": "sm3"},
        pytest.param({"kind": "muon"}, marks=pytest.mark.long),
        pytest.param(VARIANTS["muon, article"], marks=pytest.mark.long),
        pytest.param(VARIANTS["muon, keras"], marks=pytest.mark.long),
        pytest.param(VARIANTS["muon, optax"], marks=pytest.mark.long),
    ],
    ids=str,
)
def test_a_step_adds_little_memory(spec: dict[str, Any]) -> None:
    kept, more = memory_of(spec)

    assert more <= MAX_MORE * kept
