"""
The calls of the server's functions, one for each: who may make them, with what, for what.

They are arranged as the functions are in ``jobs/lua``.
"""

from jobs.calls.clients import Asked, Changed, Submitted, accept, ask, recall, restart, submit
from jobs.calls.held import Held
from jobs.calls.keeping import (
    Owned,
    archived,
    expire,
    owned,
    removed,
    store_id,
    swept,
    unarchived,
    unweighed,
    weighed,
)
from jobs.calls.monitoring import Monitored, monitored
from jobs.calls.reaper import Reaped, reap
from jobs.calls.record import listed, look, version
from jobs.calls.series import append, best_kept, checkpointed, evaluated, noted, off_plan, refused
from jobs.calls.workers import Released, begun, bye, claim, fail, finish, hello, release, renew

__all__ = [
    "Asked",
    "Changed",
    "Held",
    "Monitored",
    "Owned",
    "Reaped",
    "Released",
    "Submitted",
    "accept",
    "append",
    "archived",
    "ask",
    "begun",
    "best_kept",
    "bye",
    "checkpointed",
    "claim",
    "evaluated",
    "expire",
    "fail",
    "finish",
    "hello",
    "listed",
    "look",
    "monitored",
    "noted",
    "off_plan",
    "owned",
    "reap",
    "recall",
    "refused",
    "release",
    "removed",
    "renew",
    "restart",
    "store_id",
    "submit",
    "swept",
    "unarchived",
    "unweighed",
    "version",
    "weighed",
]
