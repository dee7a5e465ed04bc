"""The names under which clients may speak to the service."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.problems import answer

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]]*?)\.?(?::\d{0,5})?")
"""A Host header, in small letters: a name or an address, perhaps a dot, perhaps a port."""


class AllowedHosts:
    """
    Middleware that refuses requests for names that are not the service's.

    A web page can let its own name point to this machine (DNS rebinding): a browser beside the
    service then lets the page read and write as if the service were its own. It cannot help naming
    itself in the Host header; so names must be known. It can do nothing like it with an address:
    whoever has that in the Host header has asked for it.

    Args:
        app: what is guarded.
        names: in small letters; ``*.example.org`` for all below it, ``*`` for any.
    """

    def __init__(self, app: ASGIApp, *, names: Sequence[str]) -> None:
        self._app = app
        self._any = "*" in names
        self._names = frozenset(name.lower() for name in names)
        self._endings = tuple(name[1:].lower() for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or refuse it."""
        if scope["type"] != "http" or self._any:
            await self._app(scope, receive, send)
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
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


def is_address(name: str) -> bool:
    """Return whether the name in a Host header is an IP address."""
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return name.startswith("[") == (":" in name)


def _refusal(hosts: Sequence[str]) -> ASGIApp:
    if len(hosts) == 1:
        what = (
            f"the service is not known as {hosts[0][:200]!r}: OPTSERVE_ALLOWED_HOSTS names what it "
            "is called; its address can be used always"
        )
    else:
        what = f"a request must have one Host header, got {len(hosts)}"
    return answer(status=400, title="Host not allowed", detail=what, code="host_not_allowed")
