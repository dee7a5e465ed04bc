"""
The calls of the Lua functions on the Redis server, one Python function for each.

Each function returns a `Call`. The docstring of the function describes what the call does, and what
`send` returns for it. Each module but `replies` corresponds to the Lua file of the same name in
``store/redis/lua``.
"""

from store.jobs.calls.durations import ClassDurations, durations
from store.jobs.calls.history import history_moved, long_histories
from store.jobs.calls.isolation import SetAside, put_back, set_aside, set_aside_members
from store.jobs.calls.libraries import forget_library, unused_libraries, version
from store.jobs.calls.monitoring import Monitored, monitored
from store.jobs.calls.reaper import Reaped, reap
from store.jobs.calls.requests import (
    Asked,
    Changed,
    Submitted,
    accept,
    ask,
    recall,
    restart,
    submit,
)
from store.jobs.calls.retention import (
    Owned,
    archived,
    expire,
    files_deleted,
    measured,
    owned,
    removed,
    storage_named,
    store_id,
    unarchived,
    unmeasured,
)
from store.jobs.calls.series import (
    append,
    best_kept,
    checkpointed,
    evaluated,
    noted,
    off_plan,
    passed_over,
    refused,
)
from store.jobs.calls.views import Found, Unreadable, find, index_labels, look, summaries
from store.jobs.calls.workers import (
    Cause,
    Claim,
    Released,
    begun,
    bye,
    claim,
    fail,
    finish,
    hello,
    release,
    renew,
    wanted,
)

__all__ = [
    "Asked",
    "Cause",
    "Changed",
    "Claim",
    "ClassDurations",
    "Found",
    "Monitored",
    "Owned",
    "Reaped",
    "Released",
    "SetAside",
    "Submitted",
    "Unreadable",
    "accept",
    "append",
    "archived",
    "ask",
    "begun",
    "best_kept",
    "bye",
    "checkpointed",
    "claim",
    "durations",
    "evaluated",
    "expire",
    "fail",
    "files_deleted",
    "find",
    "finish",
    "forget_library",
    "hello",
    "history_moved",
    "index_labels",
    "long_histories",
    "look",
    "measured",
    "monitored",
    "noted",
    "off_plan",
    "owned",
    "passed_over",
    "put_back",
    "reap",
    "recall",
    "refused",
    "release",
    "removed",
    "renew",
    "restart",
    "set_aside",
    "set_aside_members",
    "storage_named",
    "store_id",
    "submit",
    "summaries",
    "unarchived",
    "unmeasured",
    "unused_libraries",
    "version",
    "wanted",
]
