"""Functions that lack a check are found out by random histories: each loss must be seen."""

import pytest
from _pytest.outcomes import Failed
from redis import ResponseError

from optserve.local.embedded import EmbeddedServer
from store.redis.functions import Gap, ReplayDiffers
from store.redis.library import library
from tests.support.store.histories import run

pytestmark = [pytest.mark.usefixtures("functions_restored"), pytest.mark.long]

MUTANTS = {
    "no token is looked at": (
        "return state == STATE.running and token ~= '' and current == token",
        "return state == STATE.running",
    ),
    "a gap is written over": ("if first > rows then return {'gap', rows} end", ""),
    "replayed rows are not compared": ("if differs then return {'differs', differs} end", ""),
    "an older checkpoint takes over": (
        "if step <= tonumber(last) then return {'stale', unpack(paths(job))} end",
        "",
    ),
    "a lost claim takes another job": (
        "if claimed_token == token and claimed",
        "if false and claimed",
    ),
    "rows that are missing do not matter": (
        "if stored ~= tonumber(rows) then return {'gap', stored} end",
        "",
    ),
    "progress does not reset the crashes": (
        "crashes = tonumber(checkpoint) > tonumber(at_claim) and 0 or tonumber(crashes)",
        "crashes = tonumber(crashes)",
    ),
    "a deadline outlives its attempt": (
        "redis.call('ZREM', key('deadlines'), tenant .. '/' .. id)",
        "",
    ),
    "a mark counts too few rows": (
        "mark(job, tenant, id, first + count)",
        "mark(job, tenant, id, first)",
    ),
    "a removed job stays in a list": ("redis.call('ZREM', key('jobs', tenant), id)", ""),
    "who waits stays in line": ("if from == STATE.queued then dequeue(job, tenant, id) end", ""),
    "a busy worker is idle too": (
        "if other ~= state then redis.call('ZREM', key('class', other, class), worker) end",
        "",
    ),
    "entries are moved twice": (
        "if archive or tonumber(before or 0) ~= moved then return 'differs' end",
        "",
    ),
}
"""What is taken out of the functions, one at a time; every loss must be seen."""
LONG_TO_FIND = ("replayed rows are not compared", "progress does not reset the crashes")
"""Those that take hundreds of random histories; other tests look for each of them alone."""
SOON_FOUND = ("no token is looked at", "a gap is written over")
"""Those that are not marked slow."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_one_place_of_the_functions(name: str) -> None:
    whole, _ = MUTANTS[name]

    assert library().count(whole) == 1


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in SOON_FOUND
        else pytest.param(name, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])
        for name in MUTANTS
    ],
)
def test_a_mutant_of_the_functions_is_found(server: EmbeddedServer, name: str) -> None:
    with pytest.raises((AssertionError, Failed, Gap, ReplayDiffers, ResponseError)):
        run(server, 3000 if name in LONG_TO_FIND else 300, MUTANTS[name])
