"""
A password for the store, made once: ``python -m store.redis.acl FOLDER``.

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
    # Rules apply from left to right: these take commands out of the categories above, and the next
    # lines give single ones back. FCALL is in @scripting, as EVAL is; INFO, CONFIG GET and CLIENT
    # LIST are in @dangerous, as KEYS, FLUSHALL and SHUTDOWN are.
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
    # The server's own form of a password in a list of users, without salt or stretching: enough for
    # one of 256 random bits, and not for one that a person has chosen.
    digest = hashlib.sha256(password.encode()).hexdigest()
    return "\n".join(
        (
            # A client that names no user is this one. It can do nothing.
            "user default off resetpass resetkeys resetchannels -@all",
            # For the health check of the server's container, which has no password.
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
        # 256 bits, in characters that need no quoting in a URL.
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
