"""With a broken package, API and worker do not start, and the doctor says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from optcore.packages import entry_points
from optserve.local.doctor.findings import Home
from optserve.local.doctor.packages import check_packages
from store.settings import Settings
from tests.support.optcore.packages import example, forget, install, python


@pytest.mark.parametrize(
    ("module", "file", "change", "text"),
    [
        (
            *("api.app", "operators/specs.py", ("import Linear", "import Lineal")),
            "operators 1.0: entry point snake = operators.specs:Snake of optserve.layers: cannot "
            "import name 'Lineal' from 'optcore.spec.layers.dense' ",
        ),
        (
            *("worker.main", "operators/code.py", ("def snake(", "def serpent(")),
            "operators 1.0: CODE = operators.code:snake of operators.specs.Snake: module "
            "'operators.code' has no attribute 'snake'",
        ),
    ],
)
def test_a_service_process_does_not_start(
    tmp_path: Path, module: str, file: str, change: tuple[str, str], text: str
) -> None:
    files = example()
    assert change[0] in files[file]
    files[file] = files[file].replace(*change)
    install(tmp_path / "installed", files)

    done = python(tmp_path / "installed", "-m", module, OPTSERVE_HOME=str(tmp_path / "home"))

    assert done.returncode == os.EX_CONFIG, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(text)
    assert last.endswith("; repair the package, or remove it")


def test_the_doctor_names_what_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path, Settings(home=tmp_path), running=False)
    forget(monkeypatch)
    assert list(check_packages(home)) == []
    monkeypatch.setattr(entry_points, "_problems", {"optserve.layers": ["operators 1.0: broken"]})

    (finding,) = check_packages(home)

    assert (finding.subject, finding.message) == ("packages", "operators 1.0: broken")
    assert finding.todo == "repair the package, or remove it"
