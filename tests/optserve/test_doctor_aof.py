"""``optserve doctor`` on append-only files that a crash has damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from optserve.local.doctor.aof import MANIFEST
from store.redis import keys
from tests.support.service.homes import commands, doctor, problems, store

GARBAGE = {
    "text": b"garbage\n",
    "zeros": b"\0" * 4096,
    "half a command, and other bytes": b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n\xff\xff",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_at_the_end_of_the_file_is_truncated_after_a_copy(home: Path, kind: str) -> None:
    good, garbage = commands(home).read_bytes(), GARBAGE[kind]
    commands(home).write_bytes(good + garbage)

    found = doctor(home)
    untouched = commands(home).read_bytes()
    repaired = doctor(home, "--repair")

    size = len(good) + len(garbage)
    (problem,) = problems(found)
    assert f"redis: files: the last {len(garbage)} of {size} bytes of {commands(home)}" in problem
    assert f"--repair copies {commands(home).parent} and truncates these bytes" in problem
    assert "ok        store: not checked: the server's files must be repaired first" in found.output
    assert untouched == good + garbage
    aside = home / "redis" / "appendonlydir.before-repair-1"
    assert repaired.exit_code == 0, repaired.output
    assert (
        f"repaired  redis: files: {len(garbage)} bytes were truncated from {commands(home)}; "
        f"the original is in {aside}" in repaired.output
    )
    assert commands(home).read_bytes()[: len(good)] == good
    assert (aside / commands(home).name).read_bytes() == good + garbage
    with store(home) as client:
        assert client.zcard(keys.JOBS % "local") == 3
        assert client.get("last") is not None


def test_commands_after_damage_in_the_middle_are_counted(home: Path) -> None:
    good = commands(home).read_bytes()
    middle = good.index(b"*", len(good) // 2)
    behind = good[middle:].count(b"\r\n*") + 1
    commands(home).write_bytes(good[:middle] + b"\xff\xff" + good[middle:])

    problem, *_ = problems(doctor(home))

    assert f"{behind} commands written after the damage are among these bytes" in problem


def test_an_unfinished_command_is_left_to_the_server(home: Path) -> None:
    with commands(home).open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nlast\r\n$100\r\nhalf of")

    assert problems(doctor(home)) == []


@pytest.mark.parametrize("content", [None, b"garbage"])
def test_files_that_the_server_no_longer_loads_may_be_anything(
    home: Path, content: bytes | None
) -> None:
    """A server that dies while it rewrites leaves them in its manifest, and maybe in its folder."""
    folder = commands(home).parent
    base, *others = (folder / MANIFEST).read_text().splitlines(keepends=True)
    old = "file appendonly.aof.9.incr.aof seq 9 type h\n"
    (folder / MANIFEST).write_text("".join([base, old, *others]))
    if content is not None:
        (folder / "appendonly.aof.9.incr.aof").write_bytes(content)

    found = problems(doctor(home))

    assert found == []
    with store(home) as client:  # the server thinks so too
        assert client.zcard(keys.JOBS % "local") == 3


def test_a_second_repair_keeps_the_copy_of_the_first(home: Path) -> None:
    for _ in range(2):
        with commands(home).open("ab") as file:
            file.write(b"garbage\n")
        assert doctor(home, "--repair").exit_code == 0

    copies = [path.name for path in (home / "redis").glob("*before-repair*")]
    assert sorted(copies) == [f"appendonlydir.before-repair-{number}" for number in (1, 2)]


def test_an_unknown_command_is_reported_with_the_servers_message(home: Path) -> None:
    """The tool does not look at names of commands."""
    with commands(home).open("ab") as file:
        file.write(b"*2\r\n$7\r\nNOTHING\r\n$1\r\na\r\n")

    (problem,) = problems(doctor(home))

    assert "store: the embedded server cannot read its files" in problem
    assert "unknown command 'NOTHING'" in problem


def test_a_damaged_base_is_not_repaired(home: Path) -> None:
    (base,) = commands(home).parent.glob("*.base.rdb")
    base.write_bytes(base.read_bytes()[:-20])

    problem, *_ = problems(doctor(home, "--repair"))

    assert f"redis: files: {base} is damaged. To do: restore the folder from a backup" in problem
    assert not list((home / "redis").glob("*before-repair*"))
