"""
The library of Lua functions that this release loads into the server.

Its parts are the files in ``store/redis/lua``, joined in the order of `FILES`. Whatever Python and
Lua must agree on (keys, states, reasons, kinds of events, constants) is declared in Python and
filled in here. ``python -m store.redis.library`` prints the result, which luacheck can read.

Library and functions have the version in their names, so that each release calls its own, however
many releases share a server.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from optserve.contract.history import EventKind
from optserve.contract.states import Reason, State
from store.redis import constants
from store.redis.constants import FORMAT, LIBRARIES
from store.redis.keys import TEMPLATES

FILES = (
    # What the functions below are made of.
    *("prelude", "isolation", "libraries", "worker_classes", "queue", "views", "transitions"),
    *("truncation", "labels"),
    *("requests", "workers", "series", "reaper", "retention", "history", "monitoring"),
)
"""The parts of the library, in ``store/redis/lua``, in the order in which they need each other."""
CONSTANTS = (
    *("FORMAT", "TOO_NEW", "LEGACY", "HISTORY_ENTRIES", "CHUNK_ROWS", "MAX_CRASHES"),
    *("RING_AFTER_MS", "MAX_CHECKPOINTS"),
)
"""Names in `store.redis.constants` that are filled in as they are."""


@cache
def library() -> str:
    """Return the source of the functions, with everything filled in."""
    source = _without_version().replace("@VERSION@", version())
    return source.replace("@LIBRARY@", library_name())


@cache
def library_name() -> str:
    """Return the name of the library on the server: the format it writes, and its version."""
    # The server allows letters, digits and underscores. The format comes first, so that a release
    # can tell which libraries are newer ones' without asking them (`store.redis.server`).
    return f"{LIBRARIES}{FORMAT}_{version()[:12]}"


@cache
def version() -> str:
    """Return the version of the functions that this code calls: a digest of their source."""
    # Over everything that is filled in, constants too: two processes whose functions would behave
    # differently never share a name. Only the version itself cannot be in its own digest.
    return hashlib.sha256(_without_version().encode()).hexdigest()


@cache
def parts() -> dict[str, str]:
    """Return the files of the library by name, in order, as they are written."""
    folder = resources.files("store.redis") / "lua"
    return {name: folder.joinpath(f"{name}.lua").read_text() for name in FILES}


@cache
def _without_version() -> str:
    source = "\n".join(parts().values())
    filled = {name: str(getattr(constants, name)) for name in CONSTANTS} | {
        "KEYS": _table(TEMPLATES),
        "STATE": _table({state: state for state in State}),
        "REASON": _table({reason: reason for reason in Reason}),
        "EVENT": _table({kind: kind for kind in EventKind}),
        "STATES": _list(json.dumps(state) for state in State),
        "FINAL": _table({state: True for state in State if state.final}),
        "WAITS_MS": _list(map(str, constants.WAITS_MS)),
    }
    for name, value in filled.items():
        source = source.replace(f"@{name}@", value)
    return source


def _table(fields: Mapping[str, str | bool]) -> str:
    # Strings and booleans of JSON are valid Lua; None would not be (null), and is not used here.
    return _list(f"{name} = {json.dumps(value)}" for name, value in fields.items())


def _list(values: Iterable[str]) -> str:
    return f"{{{', '.join(values)}}}"


if __name__ == "__main__":
    sys.stdout.write(library())
