"""docs/networks.md: its examples are accepted and trained, its table and limits are true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from optcore.spec.layers.blocks import MAX_LAYERS
from optcore.spec.layers.catalogue import LAYERS
from optcore.spec.limits import MAX_COMPARED
from optcore.spec.networks.fit import MAX_CHARACTERS, MAX_PARAMETERS, MAX_TENSORS
from optcore.spec.networks.table import with_table
from optcore.spec.networks.tree import MAX_DEPTH, MAX_NODES, MAX_VALUES
from tests.support.optcore.runs.small import start, steps

PAGE = (Path(__file__).parents[3] / "docs" / "networks.md").read_text()
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_the_table_of_layers_is_the_present_one() -> None:
    """Write it with ``python -m optcore.spec.networks.table docs/networks.md``."""
    assert with_table(PAGE) == PAGE
    assert all(f"| `{kind}` |" in PAGE for kind in LAYERS)


@pytest.mark.parametrize("model", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_is_trained(model: dict[str, Any]) -> None:
    run = start(model=model, steps=1)

    assert len(steps(run)) == run.spec.total_steps


def test_the_paths_on_the_page_are_those_of_the_examples() -> None:
    first, blocks, *_ = (start(model=model).spec.network for model in EXAMPLES)

    for name in (each.name for each in first.parameters):
        assert f"`{name}`" in PAGE
    (row,) = (row for row in blocks.summary if row.name == "stage.0.0.layers.conv1")
    assert row.copies == 3


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    limits = re.findall(r"^\| .* \| ([\d,]+) \|$", PAGE.split("## Limits")[1], re.MULTILINE)

    assert [int(limit.replace(",", "")) for limit in limits] == [
        MAX_LAYERS,
        MAX_NODES,
        MAX_DEPTH - 1,
        MAX_PARAMETERS,
        MAX_TENSORS,
        MAX_CHARACTERS,
        MAX_VALUES,
        MAX_COMPARED,
    ]
