"""``optserve doctor``: the command that checks the home of a local stack and repairs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from optserve.cli.options import DEFAULT_HOME, FAILED, Home
from optserve.cli.output.terminal import out
from optserve.local.errors import needing_the_service

if TYPE_CHECKING:
    from optserve.local.doctor.findings import Finding


def command(
    home: Home = DEFAULT_HOME,
    repair: Annotated[
        bool, typer.Option("--repair", help="Fix what can be fixed. The stack must be stopped.")
    ] = False,
) -> None:
    """Check the files of a local stack, and say how to fix each problem."""
    # Every command of `optserve` imports this module, and only this one needs the others.
    with needing_the_service("doctor"):
        from optserve.local.doctor.examination import examine  # noqa: PLC0415  imported when it runs

    problems = 0
    for finding in examine(home, repair=repair):
        if finding.ok:
            out.say(f"ok        {finding.subject}: {finding.message}")
            continue
        out.say(
            f"PROBLEM   {finding.subject}: {finding.message}. To do: {finding.todo}", style="red"
        )
        problems += not (repair and _repaired(finding))
    out.say("no problems" if not problems else f"problems: {problems}")
    if problems:
        raise typer.Exit(FAILED)


def _repaired(finding: Finding) -> bool:
    from optserve.local.doctor.findings import RepairFailed  # noqa: PLC0415  imported when it runs

    if finding.repair is None:
        return False
    try:
        did = finding.repair()
    except (RepairFailed, OSError) as error:
        out.say(f"FAILED    {finding.subject}: {error}", style="red")
        return False
    out.say(f"repaired  {finding.subject}: {did}")
    return True
