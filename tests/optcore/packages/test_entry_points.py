"""What is refused in the entry points of installed packages."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from optcore.packages.check import missing
from optcore.packages.code import code_of
from optcore.packages.entry_points import PackageError, package_of, packages_of, problems
from optcore.packages.kinds import with_installed
from optcore.spec.base import Spec, kind_of
from optcore.spec.layers.base import InstalledLayer
from optcore.spec.layers.catalogue import AnyLayer
from tests.support.optcore.packages import forget, install, python

GROUP = "optserve.layers"
HEAD = """
from __future__ import annotations
from typing import ClassVar, Literal
from optcore.spec.layers.base import InstalledLayer
"""
LAYER = """
class Own(InstalledLayer):
    CODE: ClassVar[str] = "{module}:build"
    kind: Literal["{kind}"]
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    forget(monkeypatch)
    yield
    code_of.cache_clear()


class Installed:
    """A package with one module."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module = f"operators_{folder.name}"
        self._folder = folder
        monkeypatch.syspath_prepend(str(folder))

    def kinds(
        self, code: str, name: str = "Own", *, package: str = "operators"
    ) -> dict[str, type[Spec]]:
        """Install *code*, and return the layers that there are then, by kind."""
        points = {GROUP: {"own": f"{self.module}:{name}"}}
        files = {f"{self.module}.py": HEAD + code}
        install(self._folder, files, entry_points=points, name=package)
        importlib.invalidate_caches()
        union = with_installed(AnyLayer, GROUP, InstalledLayer, ["CODE"])
        return {kind_of(each): each for each in get_args(get_args(union)[0])}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    return Installed(tmp_path, monkeypatch)


def test_a_layer_joins_the_union_and_knows_its_package(installed: Installed) -> None:
    own = installed.kinds(LAYER.format(module="json", kind="own"))["own"]

    assert problems() == []
    assert str(package_of(own)) == "operators 1.0"
    assert packages_of([own, Spec]) == {"operators": "1.0"}
    assert packages_of([Spec]) == {}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import nowhere\n", "No module named 'nowhere'"),
        ("", "has no attribute 'Own'"),
        ("raise RuntimeError\n", "RuntimeError"),
        (
            "Own = 3\n",
            "must be a class derived from optcore.spec.layers.base.InstalledLayer, got 3",
        ),
        ("Own = InstalledLayer\n", "must be a class derived from optcore.spec.layers.base.Inst"),
        (
            "class Own(InstalledLayer):\n    kind: Literal['own']\n",
            "Own must define CODE",
        ),
        (
            LAYER.format(module="a.b:c", kind="own"),
            "CODE of Own must be a text 'module:function', got 'a.b:c:build'",
        ),
        (LAYER.format(module="json", kind="relu"), "kind must not be that of optcore.spec.layers."),
        (LAYER.format(module="json", kind="own-one"), "kind of Own must be a Literal of one name"),
        (
            "class Own(InstalledLayer):\n    CODE: ClassVar[str] = 'a:b'\n",
            "must be a Literal of one",
        ),
        (
            LAYER.format(module="json", kind="own") + "    size: Nowhere\n",
            "name 'Nowhere' is not defined",
        ),
        (
            LAYER.format(module="json", kind="own") + "    size: object()\n",
            "Unable to generate pydantic-core schema",
        ),
    ],
)
def test_what_cannot_be_used_is_left_out_and_named(
    installed: Installed, code: str, text: str
) -> None:
    kinds = installed.kinds(code)

    (problem,) = problems()
    begin = f"operators 1.0: entry point own = {installed.module}:Own of optserve.layers: "
    assert problem.startswith(begin)
    assert text in problem
    assert "own" not in kinds
    assert kinds["relu"].__module__ == "optcore.spec.layers.activations"


def test_an_unknown_name_says_that_a_package_is_broken(installed: Installed) -> None:
    installed.kinds("import nowhere\n")

    with pytest.raises(ValueError, match="got 'own'") as caught:
        importlib.import_module("optcore.spec.models.sequential").Sequential.parse(
            {"kind": "sequential", "layers": [{"kind": "own"}]}
        )

    assert "(a package cannot be used: operators 1.0: entry point own = " in str(caught.value)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("nowhere:make", "No module named 'nowhere'"),
        ("json:nothing", "module 'json' has no attribute 'nothing'"),
        ("math:pi", "must be a function, got 3.14"),
    ],
)
def test_code_that_cannot_be_used_is_named(installed: Installed, code: str, text: str) -> None:
    own = installed.kinds(LAYER.format(module=code, kind="own").replace(":build", ""))["own"]

    with pytest.raises(PackageError) as caught:
        code_of(own)

    assert str(caught.value).startswith(f"operators 1.0: CODE = {code} of {installed.module}.Own: ")
    assert text in str(caught.value)


def test_a_package_in_another_version_is_missing(installed: Installed) -> None:
    installed.kinds(LAYER.format(module="json", kind="own"))

    assert missing({"operators": "1.0"}) == []
    assert missing({"operators": "1.1", "others": "2.0"}) == [
        "operators 1.1 must be installed, got version 1.0",
        "others 2.0 must be installed, got no such package",
    ]


NOT_IMPORTED = "torch is not installed here: code that needs it was not imported\n"
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
runpy.run_module("optcore.packages.check", run_name="__main__")
"""


def test_the_check_imports_no_code_where_torch_is_not_installed(tmp_path: Path) -> None:
    code = LAYER.format(module="json", kind="own")
    install(tmp_path, {"own.py": HEAD + code}, entry_points={GROUP: {"own": "own:Own"}})

    here = python(tmp_path, "-m", "optcore.packages.check")
    without = python(tmp_path, "-c", WITHOUT_TORCH)

    assert here.returncode == os.EX_CONFIG
    assert "has no attribute 'build'" in here.stdout
    assert without.returncode == 0
    assert without.stdout == NOT_IMPORTED


def test_the_check_finds_a_broken_spec_where_torch_is_not_installed(tmp_path: Path) -> None:
    install(tmp_path, {"own.py": "import nowhere\n"}, entry_points={GROUP: {"own": "own:Own"}})

    without = python(tmp_path, "-c", WITHOUT_TORCH)

    assert without.returncode == os.EX_CONFIG
    assert without.stdout.startswith(NOT_IMPORTED)
    assert "No module named 'nowhere'" in without.stdout
