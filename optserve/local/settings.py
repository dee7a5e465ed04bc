"""The settings of a local stack: those of the environment, and what its command is given."""

from __future__ import annotations

from pathlib import Path

from optserve.local.errors import StackError
from store.settings import BadSettings, Settings, read_settings

HOST = "127.0.0.1"
"""Where the API listens unless told otherwise: on this machine only."""


def settings_of(*, home: Path, host: str = HOST, port: int = 8000) -> Settings:
    """
    Return the settings of the environment, with these.

    Raises:
        StackError: one of them is wrong; the text says which.
    """
    try:
        return read_settings({"home": home, "host": host, "port": port})
    except BadSettings as error:
        raise StackError(str(error)) from None
