"""A server that would lose jobs is refused; a good one gets the functions."""

import pytest
import redis

from optserve.local.embedded import EmbeddedServer
from store.errors import StoreUnsafe
from store.redis.server import check, install, prepare


@pytest.mark.parametrize(
    ("name", "value"), [("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru")]
)
def test_a_server_that_would_lose_jobs_is_refused(
    client: redis.Redis, name: str, value: str
) -> None:
    good = str(client.config_get(name)[name])
    client.config_set(name, value)

    try:
        with pytest.raises(StoreUnsafe, match=f"{name} must be {good}, got {value}"):
            check(client)
    finally:
        client.config_set(name, good)
    check(client)


def test_a_server_that_does_not_show_its_settings_is_refused(
    client: redis.Redis, server: EmbeddedServer
) -> None:
    client.acl_setuser("blind", enabled=True, nopass=True, commands=["+@all", "-config"])

    try:
        with (
            redis.from_url(server.url, username="blind", password="any") as blind,
            pytest.raises(StoreUnsafe, match=r"Allow this user CONFIG GET \(ACL: \+config\|get\)"),
        ):
            check(blind)
    finally:
        client.acl_deluser("blind")


def test_the_functions_are_loaded_only_if_they_are_missing(client: redis.Redis) -> None:
    client.function_flush()
    prepare(client)
    before = client.info("commandstats").get("cmdstat_function|load", {}).get("calls")

    install(client)

    assert client.info("commandstats")["cmdstat_function|load"]["calls"] == before
