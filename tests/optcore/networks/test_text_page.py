"""docs/text.md: its job, its network and its optimizer are accepted, its names are true."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from optcore.spec.datasets.text import Text
from optcore.spec.layers.catalogue import LAYERS
from optcore.spec.networks.fit import network_warnings
from optcore.spec.run import RunSpec

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "text.md").read_text()
JOB, MUON, NETWORK = (
    json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
)


def parsed(**changes: Any) -> RunSpec:
    return RunSpec.parse({**JOB, **changes})


def test_its_job_is_accepted_with_its_optimizers() -> None:
    assert not list(network_warnings(parsed()))

    assert not list(network_warnings(parsed(optimizer=MUON)))


@pytest.mark.parametrize(
    ("changes", "glob"),
    [({"positions": "learned"}, "positions.*"), ({"tie_embeddings": False}, "head.*")],
)
def test_other_fields_of_gpt_have_the_globs_beside_them(changes: dict[str, Any], glob: str) -> None:
    assert f'`"{glob}"`' in PAGE
    optimizer = {**MUON, "exclude": [*MUON["exclude"], glob]}

    parsed(model={**JOB["model"], **changes}, optimizer=optimizer)


def test_its_network_is_accepted() -> None:
    assert not list(network_warnings(parsed(model=NETWORK)))


def test_its_tables_have_fields_layers_and_parameters_that_exist() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    words = [word for row in rows for word in re.findall(r"`([^`]+)`", row)]
    files = [word for word in words if word.endswith(".json")]
    assert all((ROOT / file).is_file() for file in files)
    words = [word for word in words if word not in files]
    untied = {"positions": "learned", "tie_embeddings": False, "bias": True}
    names = [each.name for each in parsed(model={**JOB["model"], **untied}).parameters()]
    patterns = []
    for word in words:
        if "." not in word:
            assert word in Text.model_fields or word in LAYERS
            continue
        first, _, rest = word.replace("{i}", "*").partition("{")
        letters, _, rest = rest.partition("}")
        patterns += [f"{first}{each}{rest}" for each in letters.split(",")]

    for pattern in patterns:
        assert any(fnmatchcase(name, pattern) for name in names), pattern
    for name in names:
        assert any(fnmatchcase(name, pattern) for pattern in patterns), name
