"""The settings of a local stack: from the environment, overridden by the command's options."""

from __future__ import annotations

from pathlib import Path

from optserve.local.errors import StackError
from optserve.local.ports import HOST
from store.settings import BadSettings, Settings, read_settings


def settings_of(*, home: Path, host: str = HOST, port: int = 8000) -> Settings:
    """
    Return the settings from the environment, overridden by the arguments.

    Raises:
        StackError: a setting has an invalid value; the message names the setting.
    """
    try:
        return read_settings({"home": home, "host": host, "port": port})
    except BadSettings as error:
        raise StackError(str(error)) from None
