"""``optserve doctor``: what is wrong with a home, and what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from optserve.cli.options import DEFAULT_HOME, FAILED, Home
from optserve.cli.output.terminal import out
from optserve.local.doctor.examination import examine
from optserve.local.doctor.findings import Finding, RepairFailed


def command(
    home: Home = DEFAULT_HOME,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be, with no stack running.")
    ] = False,
) -> None:
    """Look for what is wrong with the home of a local stack, and say what to do."""
    problems = 0
    for finding in examine(home, repair=repair):
        if finding.ok:
            out.say(f"ok        {finding.subject}: {finding.said}")
            continue
        out.say(f"PROBLEM   {finding.subject}: {finding.said}. To do: {finding.todo}", style="red")
        problems += not (repair and _repaired(finding))
    out.say("no problem is left" if not problems else f"problems: {problems}")
    if problems:
        raise typer.Exit(FAILED)


def _repaired(finding: Finding) -> bool:
    if finding.repair is None:
        return False
    try:
        did = finding.repair()
    except (RepairFailed, OSError) as error:
        out.say(f"FAILED    {finding.subject}: {error}", style="red")
        return False
    out.say(f"repaired  {finding.subject}: {did}")
    return True
