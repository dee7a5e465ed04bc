"""Untrusted text in the output, in a real terminal and in a pipe."""

from typing import Any

import pytest
from rich.cells import cell_len

from optserve.cli.output.tables import aligned
from optserve.cli.output.terminal import visible
from tests.support.http.scripted import JOB, Scripted, answers
from tests.support.machine.terminal import on_terminal, piped

ID = "job_01a1fcc6-8a39-71a0-a3db-707480a8ffda"
EVIL = "\x1b]0;owned\x07\x9b31m\u202e\u2028[red]x[/red] :smile:\nforged line"
SHOWN = r"\x1b]0;owned\x07\x9b31m\u202e\u2028[red]x[/red] :smile:\nforged line"


def page(*jobs: dict[str, Any]) -> dict[str, Any]:
    return {"data": [{**JOB, "id": ID, **job} for job in jobs], "has_more": False, "next": None}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 字, \U0001f600", "Grüße, 字, \U0001f600"),
        ("a\tb\nc\x00\x7f", r"a\tb\nc\x00\x7f"),
        ("\x1b[31m\x9b31m", r"\x1b[31m\x9b31m"),
        ("\u202eabc\u2066\u061c\u2028\udcff", r"\u202eabc\u2066\u061c\u2028\udcff"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_control_characters_in_names_do_not_reach_a_terminal() -> None:
    labels = {"team": EVIL}
    with Scripted(answers(200, page({"name": EVIL, "labels": labels}))) as server:
        listed = on_terminal("jobs", "--url", server.url)
    problem = {"title": "No", "status": 422, "detail": EVIL, "code": "x"}
    with Scripted(answers(422, problem)) as server:
        refused = on_terminal("jobs", "--url", server.url)

    for text in (listed, refused):
        assert not set("\x1b\x07\x9b\u202e\u2028") & set(text)
    assert listed.splitlines()[1].endswith("…")
    assert "[red]x[/red] :smile:" in refused


def test_control_characters_in_names_do_not_reach_a_pipe() -> None:
    with Scripted(answers(200, page({"name": EVIL}))) as server:
        done = piped("jobs", "--url", server.url)

    assert done.stdout == f"{ID}\tqueued\t0/4\t\t{SHOWN}\n"


def test_in_80_columns_only_names_are_truncated() -> None:
    result = {"test_loss": 0.1, "test_accuracy": 0.98765}
    jobs = page(
        {"name": "a name that is much too long for the room that is left", "result": result},
        {"state": "failed", "reason": "dataset_missing", "total_steps": 50_000_000},
    )
    with Scripted(answers(200, jobs)) as server:
        lines = on_terminal("jobs", "--url", server.url).splitlines()

    text = " ".join(lines)
    for whole in (ID, "queued", "failed: dataset_missing", "0/4", "0/50000000", "98.77%"):
        assert whole in text


def test_a_list_of_ordinary_jobs_fits_80_columns() -> None:
    rows = [
        ["job", "state", "step", "test", "name"],
        [ID, "succeeded", "600/600", "98.07%", "demo: mnist, adam, cosine after a warmup"],
        [ID, "running", "41/600", "", "字" * 20],
    ]

    lines = aligned(rows, 80)

    assert all(cell_len(line) <= 80 for line in lines)
    assert lines[1].endswith("98.07%  demo: mni…")
    assert lines[2].endswith("字字字 …")


def test_a_list_in_a_pipe_is_complete_and_separated_by_tabs() -> None:
    name = "n" * 200
    with Scripted(answers(200, page({"name": name}, {"state": "failed"}))) as server:
        done = piped("jobs", "--url", server.url)

    assert done.stdout == f"{ID}\tqueued\t0/4\t\t{name}\n{ID}\tfailed\t0/4\t\t\n"
