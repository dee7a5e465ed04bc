"""
Builds the library of Lua functions that this release loads into the Redis server.

The source is joined from the files in ``store/redis/lua``, in the order of `FILES`. What Python and
Lua must agree on (keys, states, reasons, kinds of events, constants) is declared in Python, and
this module inserts it into the source. ``python -m store.redis.library`` prints the result, for
luacheck.

The names of the library and its functions contain a version. So several releases can share a
server, and each calls its own functions.
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
    # What the other files need.
    *("prelude", "isolation", "libraries", "worker_classes", "queue", "views", "machine_faults"),
    *("transitions", "crashes", "truncation", "labels"),
    *("durations", "requests", "workers", "series", "reaper", "retention", "history", "monitoring"),
)
"""Names of the files in ``store/redis/lua``, each after the files that it needs."""
CONSTANTS = (
    *("FORMAT", "TOO_NEW", "LEGACY", "HISTORY_ENTRIES", "CHUNK_ROWS", "MAX_CRASHES"),
    *("RING_AFTER_MS", "MAX_CHECKPOINTS"),
)
"""Names in `store.redis.constants` whose values are inserted into the Lua source as they are."""


@cache
def library() -> str:
    """Return the Lua source of the library, with all values inserted."""
    source = _without_version().replace("@VERSION@", version())
    return source.replace("@LIBRARY@", library_name())


@cache
def library_name() -> str:
    """Return the library's name on the server, made from the record format and the version."""
    # The server allows letters, digits and underscores. The format comes first, so that a release
    # can tell from the name that a newer release loaded the library (`store.redis.server`).
    return f"{LIBRARIES}{FORMAT}_{version()[:12]}"


@cache
def version() -> str:
    """Return the version of the Lua functions that this code calls: a digest of their source."""
    # The digest covers everything that is inserted, constants too, so two processes whose functions
    # would behave differently never share a name. Only the version itself is left out.
    return hashlib.sha256(_without_version().encode()).hexdigest()


@cache
def parts() -> dict[str, str]:
    """Return the text of each Lua file by its name, in order, before values are inserted."""
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
    # Strings and booleans in JSON are valid Lua too; None (null) is not, and does not occur here.
    return _list(f"{name} = {json.dumps(value)}" for name, value in fields.items())


def _list(values: Iterable[str]) -> str:
    return f"{{{', '.join(values)}}}"


if __name__ == "__main__":
    sys.stdout.write(library())
