"""Specs of short runs as data, and what `RunSpec` refuses about them."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec.errors import SpecError
from optcore.spec.run import RunSpec


def run(**changes: object) -> dict[str, Any]:
    """Return a run of 20 steps with *changes*."""
    return {
        "model": {"kind": "mlp"},
        "dataset": {"kind": "digits"},
        "optimizer": {"kind": "adam"},
        "training": {"steps": 20},
        **changes,
    }


def refused(data: dict[str, Any]) -> SpecError:
    """Return the error that *data* raises."""
    with pytest.raises(SpecError) as caught:
        RunSpec.parse(data)
    return caught.value
