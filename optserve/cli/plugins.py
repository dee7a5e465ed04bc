"""
Commands from other distributions: entry points in the group `optserve.commands`.

The service's distribution adds the commands that need its modules. An entry point names a function,
which becomes a command, or a `typer.Typer`, which becomes a group of commands.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

import typer

from optserve.local.errors import INSTALL, StackError

GROUP = "optserve.commands"
OF_THE_SERVICE = {
    "up": "Start the service on this machine and run it until Ctrl-C.",
    "demo": "Train a network on MNIST with the whole service, and show its progress.",
    "doctor": "Check the files of a local stack, and say how to fix each problem.",
    "datasets": "Manage the datasets on this machine.",
}
"""Commands that the service adds, with the help texts shown while the service is not installed."""
SERVICE = ("store", "redis", "uvicorn")
"""Modules that the commands of the service import, but only when they run."""
# For commands that are not installed: `optserve up --workers 4` must report that the service is
# missing, and not that --workers is unknown.
ANY_ARGUMENTS = {"ignore_unknown_options": True, "allow_extra_args": True}


def add_commands(app: typer.Typer) -> None:
    """
    Add the commands of the service and of other distributions to *app*.

    If the service is not installed, its commands only print how to install it.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    for name in [*OF_THE_SERVICE, *(points.keys() - OF_THE_SERVICE.keys())]:
        if name not in points:
            _add_missing(app, name, "the service is not installed")
        elif name in OF_THE_SERVICE and (missing := _first_missing()):
            _add_missing(app, name, f"No module named {missing!r}")
        else:
            _add(app, points[name])


def _first_missing() -> str | None:
    """Return the first module of `SERVICE` that is not installed; None if all are installed."""
    for name in SERVICE:
        try:
            found = find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return name
    return None


def _add(app: typer.Typer, point: EntryPoint) -> None:
    try:
        command = point.load()
    # Any exception, for it is other people's code: a broken plugin must not disable the other
    # commands.
    except Exception as error:
        _add_broken(app, point, f"{point.value} cannot be imported: {error}")
        return
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=point.name)
    else:
        app.command(point.name)(command)


def _add_broken(app: typer.Typer, point: EntryPoint, reason: str) -> None:
    name, owner = point.name, point.dist.name if point.dist else "another distribution"
    if name in OF_THE_SERVICE:
        _add_missing(app, name, reason)
    else:
        todo = f"This command comes from {owner}: install that package again, or remove it."
        _add_refusal(app, name, reason, todo, "(It cannot be imported.)")


def _add_missing(app: typer.Typer, name: str, reason: str) -> None:
    help_text = f"{OF_THE_SERVICE[name]} (The service is not installed.)"
    _add_refusal(app, name, reason, INSTALL, help_text)


def _add_refusal(app: typer.Typer, name: str, reason: str, todo: str, help_text: str) -> None:
    def command() -> None:
        raise StackError(f"optserve {name} cannot run: {reason}.\n{todo}")

    app.command(name, help=help_text, context_settings=ANY_ARGUMENTS)(command)
