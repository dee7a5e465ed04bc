"""The package in docs/extending.md: what it adds is trained, saved and resumed like the rest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.optcore.packages import PAGE, example, install, python

BLOCK = re.search(r"A job that uses all of it:\n\n```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
assert BLOCK is not None
JOB: dict[str, Any] = json.loads(BLOCK[1])
RUN = {**JOB, "training": {**JOB["training"], "steps": 20}}
NOISE = """

class Noise(InstalledLayer):
    CODE: ClassVar[str] = "operators.code:noise"

    kind: Literal["noise"]

    @property
    def draws(self) -> bool:
        return True
"""
NOISE_CODE = """

from optcore.networks.draws import number

class NoiseModule(nn.Module):
    def __init__(self, draws, path):
        super().__init__()
        self._draws, self._number = draws, number(path)

    def forward(self, x):
        if not self.training:
            return x
        return x + self._draws.normal(self._number, x.numel(), like=x).view(x.shape) / 10

def noise(layer, given, draws, path):
    return NoiseModule(draws, path)
"""
LAYERS = [
    {"kind": "linear", "out_features": 8},
    {"kind": "snake", "init": {"alpha": {"kind": "constant", "value": 3.0}}},
    {"kind": "noise"},
    {"kind": "linear", "name": "fc", "out_features": 1},
]


def trained(folder: Path, files: dict[str, str], run: dict[str, Any] = RUN) -> dict[str, Any]:
    """Train *run* where the package with *files* is installed; return what came of it."""
    install(folder / "installed", files)
    module = "tests.support.optcore.runs.packaged"
    done = python(folder / "installed", "-m", module, json.dumps(run), str(folder / "files"))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_is_trained_and_resumed_bit_for_bit(tmp_path: Path) -> None:
    found = trained(tmp_path, example())

    assert found["problems"] == []
    assert found["same"]
    assert found["losses"][-1] < found["losses"][0]
    assert "snake.alpha" in found["tensors"]
    assert found["packages"] == {"operators": "1.0"}
    assert found["fact"] == "operators 1.0"
    assert not found["former"]
    # The lane of a job is that of its worker's machine.
    assert found["fingerprint"]


def test_its_layers_fit_a_network_of_ours_and_draw_numbers_of_their_own(tmp_path: Path) -> None:
    files = example()
    files["operators/specs.py"] += NOISE
    files["operators/code.py"] += NOISE_CODE
    files["pyproject.toml"] = files["pyproject.toml"].replace(
        'snake = "operators.specs:Snake"\n',
        'snake = "operators.specs:Snake"\nnoise = "operators.specs:Noise"\n',
    )

    found = trained(tmp_path, files, {**RUN, "model": {"kind": "sequential", "layers": LAYERS}})

    assert found["problems"] == []
    assert found["same"]
    assert found["tensors"] == ["0.bias", "0.weight", "1.alpha", "fc.bias", "fc.weight"]


WRONG: dict[str, tuple[str, str, str]] = {
    "parameters": (
        *("(size,), alpha)", "(size + 1,), alpha)"),
        "operators 1.0: snake at layer snake: the module must have the parameters of the spec, "
        "[('alpha', (32,))], got [('alpha', (33,))]",
    ),
    "output": (
        "return x + torch.sin(alpha * x).square() / alpha",
        "return (x * alpha).sum(1, keepdim=True)",
        "operators 1.0: snake at layer snake: the output must have shape (50, 32), got (50, 1)",
    ),
    "loss": (
        *(".mean() / loss.scale", ""),
        "operators 1.0: loss log_cosh: must return a scalar, got (50, 1)",
    ),
    "targets": (
        *("y = torch.sin(spec.frequency * x)", "y = torch.sin(spec.frequency * x.double())"),
        "operators 1.0: dataset sine: targets of train must be float32 of shape (n, 1), got "
        "float64 of shape (400, 1)",
    ),
}
"""What is declared -> a text in the example's code, another in its place, and the error."""


@pytest.mark.parametrize("name", WRONG)
def test_code_that_does_not_do_what_is_declared_is_named(tmp_path: Path, name: str) -> None:
    before, after, error = WRONG[name]
    files = example()
    assert before in files["operators/code.py"]
    files["operators/code.py"] = files["operators/code.py"].replace(before, after)

    assert trained(tmp_path, files)["error"] == error
