"""The `optserve` command: its subcommands, and how their errors are printed."""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import typer

from optcore.data.errors import FetchFailed
from optcore.spec.errors import SpecError
from optserve.cli import (
    actions,
    clones,
    comparison,
    convert,
    exports,
    jobs,
    plugins,
    schedules,
)
from optserve.cli.files import BadFile
from optserve.cli.options import FAILED, BadOption
from optserve.cli.output.terminal import err
from optserve.client.errors import ClientError
from optserve.local.errors import StackError

app = typer.Typer(
    help="Training as a service: post a job, read the lr and loss of every step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# In the order in which --help lists them.
app.command("convert")(convert.convert)
app.add_typer(schedules.app, name="schedule")
plugins.add_commands(app)
for command in (
    jobs.submit,
    jobs.jobs,
    jobs.checkpoints,
    jobs.show,
    exports.metrics,
    clones.clone,
    comparison.compare,
    actions.cancel,
    actions.kill,
    actions.pause,
    actions.resume,
    actions.restart,
    actions.accept,
):
    app.command()(command)


def main(command: typer.Typer = app) -> None:
    """Run *command*; print an expected error without a traceback, and exit with code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of jobs may hold characters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    try:
        command()
    except (ClientError, SpecError, BadFile, BadOption, FetchFailed, StackError) as error:
        _fail(str(error))
    except UnicodeEncodeError as error:
        _fail(f"{error.object!r} must be text that can be encoded")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")


def _fail(message: str) -> NoReturn:
    err.say(message, style="red")
    sys.exit(FAILED)
