"""The package in docs/extending.md: what it adds is trained, saved and resumed like the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

from optcore.data.examples import Dataset, Examples
from optcore.data.installed import read_installed
from optcore.packages.entry_points import PackageError
from optcore.spec.datasets.base import InstalledDataset
from optcore.spec.tasks.tasks import Target, Task
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
        "operators 1.0: snake at layer snake: the module must have the parameters that the spec "
        "declares, [('alpha', (32,))], got [('alpha', (33,))]",
    ),
    "output": (
        "return x + torch.sin(alpha * x).square() / alpha",
        "return (x * alpha).sum(1, keepdim=True)",
        "operators 1.0: snake at layer snake: the output must have shape (50, 32), got (50, 1)",
    ),
    "buffers": (
        *("self._view = ", 'self.register_buffer("seen", torch.ones(2)); self._view = '),
        "operators 1.0: snake at layer snake: the module must have the buffers that the spec "
        "declares, [], got [('seen', (2,))]",
    ),
    "output in evaluations": (
        "return x + torch.sin(alpha * x).square() / alpha",
        "return x + torch.sin(alpha * x).square() / alpha if self.training else x[:, :1]",
        "operators 1.0: snake at layer snake: the output must have shape (31, 32), got (31, 1)",
    ),
    "loss": (
        *(".mean() / loss.scale", ""),
        "operators 1.0: loss log_cosh: must return a scalar, got (50, 1)",
    ),
    "targets": (
        *("y = torch.sin(spec.frequency * x)", "y = torch.sin(spec.frequency * x.double())"),
        "operators 1.0: dataset sine: targets of train must be float32 of shape (examples, 1), got "
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


RAISING: dict[str, tuple[str, str, str]] = {
    "layer": (
        *("size = given.shape[0] if", "size = given.nothing if given.shape else 0 if"),
        "model: model must accept examples of sine, which are (features 1): layer snake: operators "
        "1.0: operators.specs.Snake raised AttributeError: 'TensorSpec' object has no attribute "
        "'nothing'",
    ),
    "cost of a layer": (
        *(
            "    def parameters(",
            "    def flops(self, given):\n        1 / 0\n\n    def parameters(",
        ),
        "model: model must accept examples of sine, which are (features 1): layer snake: operators "
        "1.0: operators.specs.Snake raised ZeroDivisionError: division by zero",
    ),
    "model": (
        *("        return [\n", "        raise RuntimeError('oops')\n        return [\n"),
        "model: operators 1.0: operators.specs.PeriodicMlp raised RuntimeError: oops",
    ),
    "dataset": (
        *("        return 400\n", "        return self.nothing\n"),
        "dataset: operators 1.0: operators.specs.Sine raised AttributeError: 'Sine' object has no "
        "attribute 'nothing'",
    ),
    "target": (
        *("        return Target(", "        return self.nothing("),
        "dataset: operators 1.0: operators.specs.Sine raised AttributeError: 'Sine' object has no "
        "attribute 'nothing'",
    ),
}
"""What raises -> a text in the example's specs, another in its place, and the error."""
PARSE = """
import json, sys
from optcore.spec.errors import SpecError
from optcore.spec.run import RunSpec
try:
    RunSpec.parse(json.loads(sys.argv[1]))
except SpecError as error:
    sys.stdout.write(str(error))
"""


@pytest.mark.parametrize("name", RAISING)
def test_errors_of_its_specs_are_told_with_the_class(tmp_path: Path, name: str) -> None:
    before, after, error = RAISING[name]
    files = example()
    assert before in files["operators/specs.py"]
    files["operators/specs.py"] = files["operators/specs.py"].replace(before, after, 1)
    install(tmp_path, files)

    done = python(tmp_path, "-c", PARSE, json.dumps(RUN))

    assert done.stdout == error, done.stderr


class Given(InstalledDataset):
    """Two training examples and a test example, whose targets the spec says."""

    CODE: ClassVar[str] = f"{__name__}:given"

    kind: Literal["given"]
    task: Task
    targets: list[list[float]]

    @property
    def all_train_examples(self) -> int:
        return 2

    @property
    def test_examples(self) -> int:
        return 1

    @property
    def shape(self) -> tuple[int, ...]:
        return (4,)

    @property
    def target(self) -> Target:
        return Target(self.task, 5, 3)


PARTS: dict[str, object] = {}
"""Parts of the dataset that `given` returns in place of its own."""


def given(spec: Given, folder: Path) -> Dataset:
    del folder
    targets = torch.tensor(spec.targets)
    targets = targets.long() if spec.task == "sequence" else targets
    inputs = torch.zeros(2, 4)
    parts: dict[str, Any] = {
        "train": Examples(inputs, targets),
        "test": Examples(inputs[:1], targets[:1]),
    }
    return Dataset(**(parts | PARTS))


def read(task: Task, targets: Sequence[Sequence[float]]) -> Dataset:
    found = [list(map(float, each)) for each in targets]
    return read_installed(Given(kind="given", batch_size=1, task=task, targets=found), Path())


@pytest.mark.parametrize(
    ("task", "targets", "error"),
    [
        ("multi_label", [[0, 1, 0, 0, 1], [1, 1, 7, 1, 1]], "must be 0 or 1, got 7.0"),
        ("multi_label", [[0, 1, 0, 0, 0.5], [1] * 5], "must be 0 or 1, got 0.5"),
        (
            *("sequence", [[4, 3, -1], [-1, 3, 2]]),
            "must have -1 only after the last class of an example, got [-1, 3, 2]",
        ),
        (
            *("sequence", [[4, -1, 0], [1, 3, 2]]),
            "must have -1 only after the last class of an example, got [4, -1, 0]",
        ),
        ("sequence", [[4, 3, -2], [1, 3, 2]], "must be from -1 to 4, got -2 to 4"),
    ],
)
def test_targets_outside_their_range_are_refused(
    task: Task, targets: Sequence[Sequence[float]], error: str
) -> None:
    with pytest.raises(PackageError) as caught:
        read(task, targets)

    assert str(caught.value) == f"None: dataset given: targets of train {error}"


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        ("multi_label", [[0] * 5, [1] * 5]),
        ("regression", [[7, -1, 0.5, 0, 0], [1] * 5]),
        ("sequence", [[-1, -1, -1], [4, 0, -1]]),
    ],
)
def test_targets_in_their_range_are_taken(task: Task, targets: Sequence[Sequence[float]]) -> None:
    assert len(read(task, targets).train) == 2


@pytest.mark.parametrize(
    ("name", "part", "error"),
    [
        ("train", {"inputs": 1}, "train must be Examples or Drawn, got dict"),
        ("test", None, "test must be Examples, got NoneType"),
        ("validation", (), "validation must be Examples, got tuple"),
    ],
)
def test_parts_that_are_no_examples_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, part: object, error: str
) -> None:
    monkeypatch.setitem(PARTS, name, part)

    with pytest.raises(PackageError) as caught:
        read("regression", [[0] * 5, [1] * 5])

    assert str(caught.value) == f"None: dataset given: {error}"
