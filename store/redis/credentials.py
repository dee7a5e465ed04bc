"""
A password for the store, made once: ``python -m store.redis.credentials FOLDER``.

The folder gets two files: the password, for API and workers alone, and the server's list of users
(its ``aclfile``), which holds only a hash of it, so that the server's own user may read it. The
password is never on a command line or in an environment. To have another one, remove it, run this
again, and start the server and everything else anew.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from pathlib import Path

from optcore.files.durable import replace

USER = "optserve"
"""The service, as the server knows it."""
PASSWORD, USERS = "password", "users.acl"
RIGHTS = (
    *("resetchannels", "&rq:*", "~optserve:*", "~rq:*", "-@all"),
    *("+@read", "+@write", "+@transaction", "+@pubsub", "+@connection"),
    *("-@dangerous", "-@scripting"),
    *("+fcall", "+fcall_ro", "+function|load", "+function|list", "+function|delete"),
    *("+time", "+info", "+config|get", "+client|list"),
)
"""
What the service needs: its own keys and RQ's, its functions, and to see whether the server keeps
what it accepts. Not to change that, nor to run anything else, nor to list or empty what is there.
"""


def users(password: str) -> str:
    """Return the server's list of users: the service, and one that may only ask if it is up."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    return "\n".join(
        (
            "user default off resetpass resetkeys resetchannels -@all",
            "user health on nopass resetkeys resetchannels -@all +ping",
            f"user {USER} on #{digest} {' '.join(RIGHTS)}",
            "",
        )
    )


def make(folder: Path) -> None:
    """
    Write both files; a password that is there already stays.

    The list of users is written anew each time: what the service needs may have changed.
    """
    path = folder / PASSWORD
    if not path.exists():
        replace(path, [secrets.token_urlsafe(32).encode()], mode=0o400)
    replace(folder / USERS, [users(path.read_text()).encode()], mode=0o444)


def main() -> None:
    """Write the files into the folder that is named."""
    folder = Path(sys.argv[1])
    try:
        make(folder)
    except OSError as error:
        sys.exit(f"the folder {folder} must take the store's password: {error}")


if __name__ == "__main__":
    main()
