"""The settings of a local stack: those of the environment, and what its command is given."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobs.settings import Settings
from optcore.spec.errors import problems
from optserve.errors import StackError

HOST = "127.0.0.1"
"""Where the API listens unless told otherwise: on this machine only."""


def settings_of(*, home: Path, host: str = HOST, port: int = 8000) -> Settings:
    """
    Return the settings of the environment, with these.

    Raises:
        StackError: one of them is wrong; the text says which.
    """
    try:
        return Settings(home=home, host=host, port=port)
    except ValidationError as error:
        named = [{**e, "loc": (_variable(str(e["loc"][0])),)} for e in error.errors()]
        wrong = problems(cast("list[ErrorDetails]", named), None)
        raise StackError("\n".join(problem.message for problem in wrong)) from None


def _variable(name: str) -> str:
    return name if name.isupper() else f"OPTSERVE_{name.upper()}"
