"""The Host header: protection against DNS rebinding."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.problems import answer

# The name is matched lazily, so that the final dot of a fully qualified name is not part of it.
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]]*?)\.?(?::\d{0,5})?")
"""A Host header in lower case: a name or an address, an optional dot, an optional port."""


class AllowedHosts:
    """
    Middleware that refuses requests whose Host header is not a name of the service.

    The owner of a website can point the website's host name at this machine (DNS rebinding). A
    browser then takes this service for the server of that website, and lets the website's pages
    send requests to it and read the responses.

    The Host header of requests from such pages contains the website's host name. So the service
    accepts only requests with one of its own names, or with an IP address. IP addresses are safe,
    since DNS cannot point an address at another machine.

    Args:
        app: the application that gets the accepted requests.
        names: the allowed names; ``*.example.org`` for all subdomains, ``*`` for any name.
    """

    def __init__(self, app: ASGIApp, *, names: Sequence[str]) -> None:
        self._app = app
        self._any = "*" in names
        self._names = frozenset(name.lower() for name in names)
        # With the dot: evilexample.org must not match *.example.org.
        self._endings = tuple(name[1:].lower() for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with status 400."""
        if scope["type"] != "http" or self._any:
            await self._app(scope, receive, send)
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        # A request with no Host header or several gets a 400, as in RFC 9112, section 3.2: of
        # several, a proxy in front might have chosen another one than this check.
        if len(hosts) == 1 and self._allows(hosts[0]):
            await self._app(scope, receive, send)
            return
        await _refusal(hosts)(scope, receive, send)

    def _allows(self, host: str) -> bool:
        found = HOST.fullmatch(host.strip().lower())
        if found is None:
            return False
        name = found["name"]
        return name in self._names or name.endswith(self._endings) or is_address(name)


# As for `api.connections.connections.peer_of`.
@lru_cache(maxsize=1024)
def is_address(name: str) -> bool:
    """Return whether the name in a Host header is an IP address."""
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    # An IPv6 address must have brackets, an IPv4 address must not: the last group of an IPv6
    # address without brackets reads like a port.
    return name.startswith("[") == (":" in name)


def _refusal(hosts: Sequence[str]) -> ASGIApp:
    if len(hosts) == 1:
        what = (
            f"{hosts[0][:200]!r} is not a name of this service: OPTSERVE_ALLOWED_HOSTS lists its "
            "names; its IP addresses are always allowed"
        )
    else:
        what = f"a request must have one Host header, got {len(hosts)}"
    return answer(status=400, title="Host not allowed", detail=what, code="host_not_allowed")
