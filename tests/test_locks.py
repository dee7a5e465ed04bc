"""Versions are chosen in one place, and what is installed is known by its hash."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
ENTRY = re.compile(
    r"^(\S+)==(\S+)((?: ;.*?)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE
)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def chosen() -> dict[str, str]:
    """Return the version of every package in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {normal(name): version for name, version in pairs}


def locked(name: str) -> dict[str, str]:
    """Return the version of every package in a lock."""
    text = (ROOT / "locks" / f"{name}.txt").read_text()
    return {found[1]: found[2] for found in ENTRY.finditer(text)}


def asked(requirements: list[str]) -> set[str]:
    """Return the names of what a pyproject.toml asks for, but for our own."""
    return {normal(re.split(r"[<>=\[]", each)[0]) for each in requirements} - {"optserve"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_entry_of_a_lock_has_its_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()

    head, rest = text.split("\n", 1)

    assert head.startswith("# Written by `make lock`")
    assert ENTRY.sub("", rest).strip() == ""
    assert "://" not in text
    assert "sys_platform" not in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locks_have_the_versions_that_were_chosen(lock: Path) -> None:
    versions = chosen()

    found = locked(lock.stem)

    assert found
    assert {name: versions.get(name) for name in found} == found, "run `make lock`"


def test_every_version_that_was_chosen_is_in_a_lock_but_torch() -> None:
    everywhere = {name for lock in LOCKS for name in locked(lock.stem)}

    assert set(chosen()) - everywhere == {"torch"}


def test_each_lock_has_what_its_environment_needs() -> None:
    client = tomllib.loads((ROOT / "pyproject.toml").read_text())
    service = tomllib.loads((ROOT / "service" / "pyproject.toml").read_text())
    base = asked(client["project"]["dependencies"]) | asked(service["project"]["dependencies"])
    extras = service["project"]["optional-dependencies"]
    train, local = asked(extras["train"]), asked(extras["local"])
    dev = asked(client["dependency-groups"]["dev"])

    assert base <= set(locked("api"))
    assert base | train <= set(locked("worker"))
    assert base | train | local | dev <= set(locked("dev"))
    for project in (client, service):
        assert asked(project["build-system"]["requires"]) <= set(locked("build"))
    assert locked("api").items() <= locked("worker").items() <= locked("dev").items()


def test_what_every_torch_needs_is_hashed_too() -> None:
    needed = asked(
        [each.split(";")[0] for each in metadata.requires("torch") or [] if "extra" not in each]
    )
    of_its_builds = {name for name in needed if re.match(r"triton|nvidia-|cuda-", name)}

    assert needed - of_its_builds <= set(locked("worker"))


@pytest.mark.parametrize("file", ["Dockerfile", "scripts/venv"])
def test_only_torch_and_the_project_itself_are_installed_without_hashes(file: str) -> None:
    text = (ROOT / file).read_text()

    installs = re.findall(r"pip install (.*)", text)

    unhashed = [line for line in installs if "--require-hashes" not in line]
    assert len(installs) > len(unhashed) > 0
    for line in unhashed:
        assert line.endswith("torch") or "--no-deps" in line, line
