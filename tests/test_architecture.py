"""Who may import whom, read from the source, and what never pulls torch, seen in an interpreter."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from optcore.spec.training import Training

ROOT = Path(__file__).parents[1]
PACKAGES = ("optcore", "store", "control", "api", "worker", "optserve")

TORCH_FREE_OPTCORE = (
    *(
        "optcore.files",
        "optcore.metrics",
        "optcore.packages",
        "optcore.spec",
        "optcore.schedules",
        "optcore.plan",
    ),
    "optcore.recipes",
)
SPEC_BASICS = [
    f"optcore.spec.{name}"
    for name in ("base", "duration", "elsewhere", "errors", "evaluation", "later", "limits")
]
"""What every spec is written with; below the schedules, whose specs a run's are made of."""
ALLOWED = {
    "optcore": ["optcore"],
    "optcore.spec": ["optcore.spec", "optcore.schedules", "optcore.metrics", "optcore.packages"],
    **dict.fromkeys(SPEC_BASICS, SPEC_BASICS),
    "optcore.spec.evaluation": [*SPEC_BASICS, "optcore.metrics"],
    "optcore.metrics": ["optcore.metrics", "optcore.spec.tasks.tasks", "optcore.packages"],
    "optcore.packages": ["optcore.packages"],
    "optcore.packages.kinds": ["optcore.packages", "optcore.spec.base"],
    "optcore.packages.check": ["optcore.packages", "optcore.spec", "optcore.metrics"],
    "optcore.spec.tasks.tasks": [],
    "optcore.spec.errors": ["optcore.spec.elsewhere", "optcore.packages.entry_points"],
    "optcore.spec.elsewhere": ["optcore.spec.elsewhere"],
    "optcore.schedules": [*SPEC_BASICS, "optcore.schedules"],
    "optcore.plan": ["optcore.spec", "optcore.schedules", "optcore.plan"],
    "optcore.recipes": ["optcore.spec", "optcore.schedules", "optcore.recipes"],
    "optcore.files": ["optcore.files"],
    "optcore.data.sources.mnist_fetch": ["optcore.files", "optcore.spec", "optcore.data.errors"],
    "store": ["store", "optserve.contract", "optcore.spec", "optcore.plan", "optcore.files"],
    "store.packages": ["optcore.packages"],
    "control": ["control", "store", "optserve.contract"],
    "api": ["api", "control", "store", "optserve.contract", *TORCH_FREE_OPTCORE],
    "worker": ["worker", "store", "optserve.contract", "optcore"],
    "worker.processes.tether": [],
    "optserve.contract": ["optserve.contract", "optcore.spec"],
    "optserve.client": [
        *("optserve.client", "optserve.contract"),
        *("optcore.spec", "optcore.plan", "optcore.files"),
    ],
    "optserve": ["optserve.client", "optserve.contract"],
    "optserve.__main__": ["optserve.cli", "optserve.interrupts"],
    "optserve.interrupts": [],
    "optserve.cli": [
        *("optserve.cli", "optserve.client", "optserve.contract"),
        *("optserve.local.homes", "optserve.local.errors", "optserve.interrupts"),
        *(*TORCH_FREE_OPTCORE, "optcore.data.errors"),
    ],
    "optserve.local": ["optserve", "store", "optcore.spec", "optcore.data.sources.mnist_fetch"],
    "optserve.local.homes": ["optserve.client", "optserve.local.errors"],
    "optserve.local.errors": ["optserve.interrupts"],
}
"""Module or package -> what it may import of ours; the longest name that fits holds."""

TORCH_FREE = (
    *("api", "control", "store", "optserve", "optcore.data.sources.mnist_fetch"),
    *TORCH_FREE_OPTCORE,
)
WITHOUT_TORCH = ["torch", "sklearn", "safetensors.torch"]


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path, *, types: bool = True) -> Iterator[str]:
    """Yield the modules that *path* imports; without *types*, only those that are imported now."""
    tree = ast.parse(path.read_text())
    for_types = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if node in for_types and not types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} is a relative import"
            yield f"{node.module}"


def at_import(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield what the statements *body* import when their module is, as full names."""
    for node in body:
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from at_import(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            yield from at_import(node.body)


def graph() -> dict[str, set[str]]:
    """Return module -> the modules that its import imports first."""
    files = dict(modules())

    def module_of(name: str) -> str:
        return name if name in files else name.rpartition(".")[0]

    return {
        module: {module_of(name) for name in at_import(ast.parse(path.read_text()).body)}
        & files.keys() - {module}
        for module, path in files.items()
    }


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def allowed(module: str) -> list[str]:
    return ALLOWED[max((name for name in ALLOWED if within(module, name)), key=len)]


def wrong_arrows(module: str, imported: list[str]) -> list[str]:
    ours = [name for name in imported if name.split(".")[0] in PACKAGES]
    return [name for name in ours if not any(within(name, ok) for ok in allowed(module))]


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: str(value)[-60:])
def test_a_module_imports_only_what_its_package_may(module: str, path: Path) -> None:
    assert wrong_arrows(module, list(imports(path))) == []
    if any(within(module, package) for package in TORCH_FREE):
        now = list(imports(path, types=False))
        assert [name for name in now if name.split(".")[0] in WITHOUT_TORCH] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Whichever module is imported first, the import works."""
    assert list(TopologicalSorter(graph()).static_order())


def test_a_wrong_arrow_is_seen() -> None:
    assert wrong_arrows("store.jobs.views", ["json", "optcore.training.run"]) == [
        "optcore.training.run"
    ]
    assert wrong_arrows("optserve.client.client", ["optserve.contract", "store.redis.keys"]) == [
        "store.redis.keys"
    ]
    assert wrong_arrows("optserve.local.stack", ["store.redis.keys"]) == []
    assert wrong_arrows("optcore.spec.run", ["optcore.plan.values"]) == ["optcore.plan.values"]
    assert wrong_arrows("optcore.schedules.base", ["optcore.spec.run"]) == ["optcore.spec.run"]
    assert wrong_arrows("optcore.schedules.base", ["optcore.spec.limits"]) == []


@pytest.mark.parametrize("package", ["optcore", "store"])
def test_the_package_itself_imports_nothing(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text())

    outside = {name.split(".")[0] for node in tree.body for name in _eager(node)}

    assert outside <= {"importlib", "typing"}


def _eager(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [str(node.module)] if isinstance(node, ast.ImportFrom) else []


def torch_free_modules() -> list[str]:
    return [
        name
        for name, _ in modules()
        if any(within(name, package) for package in TORCH_FREE)
        or name in ("optcore", "worker.main")
    ]


def test_what_must_not_pull_torch_does_not() -> None:
    names = torch_free_modules()
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_command_starts_without_what_most_of_its_subcommands_do_not_need() -> None:
    """The models of all optimizers and schedules take two seconds to import."""
    slow = ("numpy", "redis", "store", "optcore.spec.run", "optcore.schedules", "optcore.recipes")
    code = (
        "import sys, optserve.cli.main\n"
        f"assert not (found := {{*{slow!r}}} & {{*sys.modules}}), found\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


USE_PATHS = (
    # Files of jobs, datasets, and who is told where datasets lie.
    *("optcore.files", "optcore.data"),
    *("optcore.training.run", "optcore.training.checkpoints.begin", "worker.attempt.runner"),
    # Folders of the machine: settings, credentials, locks, journals, programs, /proc.
    *("store.settings", "store.settings_page", "store.redis.acl"),
    *("store.storage.preflight", "worker.processes.gpu", "worker.reporting.journal"),
    *("worker.main", "optcore.training.fingerprint", "optcore.training.steps.columns"),
    "worker.attempt.failures",  # the name of a source file
)
"""Modules that may name folders of a machine. All others know files by their names alone."""
WITHOUT_PATHS = ("api", "control", "store", "worker", "optcore.training")


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: str(value)[-60:])
def test_only_some_modules_know_folders_of_the_machine(module: str, path: Path) -> None:
    if any(within(module, package) for package in WITHOUT_PATHS):
        allowed = any(within(module, name) for name in USE_PATHS)
        assert allowed or not {"pathlib", "shutil", "tempfile"} & set(imports(path))


PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
PICKLING = {("torch", "load"), ("torch", "save"), ("np", "load"), ("numpy", "load")}


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: str(value)[-60:])
def test_nothing_is_pickled(module: str, path: Path) -> None:
    """Loading a checkpoint or a message must never run code that it brings along."""
    imported = {name.split(".")[0] for name in imports(path)}
    called = {
        (node.value.id, node.attr)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }

    assert not imported & PICKLES, module
    assert not called & PICKLING, module


WALL_CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
READ_THE_CLOCK = {
    "optcore.files.files": {("time", "time")},
    "store.jobs.ids": {("time", "time_ns")},
}
"""How long a folder that no job knows has been left alone is told by its files; an id begins with
the time at which it was made, so that lists are in order."""


@pytest.mark.parametrize(
    ("module", "path"),
    [(m, p) for m, p in modules() if m.split(".")[0] in PACKAGES[:-1]],
    ids=lambda value: str(value)[-60:],
)
def test_no_clock_but_the_servers_decides_anything(module: str, path: Path) -> None:
    """Leases, waits and histories survive machines whose clocks are an hour off, or jump."""
    read = {
        (node.value.id, node.attr)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }

    assert read & WALL_CLOCKS == READ_THE_CLOCK.get(module, set())
    assert not re.search(r"from time import", path.read_text())


def test_every_word_of_training_is_documented() -> None:
    page = (ROOT / "docs" / "training.md").read_text()

    missing = [name for name in Training.model_fields if f"`{name}" not in page]

    assert not missing
