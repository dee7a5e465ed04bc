"""
Create a password for the Redis server: ``python -m store.redis.acl FOLDER``.

Two files are written to FOLDER:

- ``password``: the password, for the API and the workers. Only the owner of the file may read it.
- ``users.acl``: the Redis server's list of users (its ``aclfile``), with a hash of the password.

The password never appears on a command line or in an environment variable. To change the password,
delete the file ``password``, run the command again, and restart the Redis server, the API and the
workers.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from pathlib import Path

from optcore.files.durable import replace

USER = "optserve"
"""Name of the Redis user that the service connects as."""
PASSWORD, USERS = "password", "users.acl"
RIGHTS = (
    *("resetchannels", "&rq:*", "~optserve:*", "~rq:*", "-@all"),
    *("+@read", "+@write", "+@transaction", "+@pubsub", "+@connection"),
    # Rules apply from left to right: these remove commands from the categories above, and the next
    # lines add single ones again. FCALL is in @scripting, as EVAL is; INFO, CONFIG GET and CLIENT
    # LIST are in @dangerous, as KEYS, FLUSHALL and SHUTDOWN are.
    *("-@dangerous", "-@scripting"),
    *("+fcall", "+fcall_ro", "+function|load", "+function|list", "+function|delete"),
    *("+time", "+info", "+config|get", "+client|list"),
)
"""
Redis ACL rules of the service. The service may use its own keys and RQ's, call its functions, and
read the persistence settings. It may not change settings, run other scripts, or list or delete all
keys.
"""


def users(password: str) -> str:
    """Return the server's list of users: the service, and ``health``, which may only PING."""
    # Redis stores passwords as SHA-256 without salt or stretching: enough for 256 random bits, but
    # not for a password that a person has chosen.
    digest = hashlib.sha256(password.encode()).hexdigest()
    return "\n".join(
        (
            # A client that names no user is this user, which can do nothing.
            "user default off resetpass resetkeys resetchannels -@all",
            # For the health check of the Redis container, which has no password.
            "user health on nopass resetkeys resetchannels -@all +ping",
            f"user {USER} on #{digest} {' '.join(RIGHTS)}",
            "",
        )
    )


def make(folder: Path) -> None:
    """
    Write the files ``password`` and ``users.acl`` into *folder*.

    An existing file ``password`` stays as it is. The file ``users.acl`` is written anew each time,
    since another release of the service may need other rights.
    """
    path = folder / PASSWORD
    if not path.exists():
        # 256 bits, in characters that need no quoting in a URL.
        replace(path, [secrets.token_urlsafe(32).encode()], mode=0o400)
    # Readable by all: the Redis server runs as another user, and the file has only a hash.
    replace(folder / USERS, [users(path.read_text()).encode()], mode=0o444)


def main() -> None:
    """Write ``password`` and ``users.acl`` into the folder that the command line names."""
    folder = Path(sys.argv[1])
    try:
        make(folder)
    except OSError as error:
        sys.exit(f"the Redis password cannot be written to the folder {folder}: {error}")


if __name__ == "__main__":
    main()
