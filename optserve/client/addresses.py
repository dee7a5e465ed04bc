"""URLs of services: parse and check them, and hide their passwords."""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx

from optserve.client.errors import BadAddress

MAX_PORT = 65535
_CREDENTIALS = re.compile(r"://.*@", re.DOTALL)
_PASSWORD = re.compile(r"([?&]password=)[^&#]*")


def parse_url(url: str) -> httpx.URL:
    """
    Return *url*, parsed.

    Raises:
        BadAddress: *url* cannot be the URL of a service.
    """
    try:
        parsed = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL as error:
        raise BadAddress(f"{_rule(url)}: {error}") from None
    port = parsed.port
    if parsed.scheme not in ("http", "https") or not re.fullmatch(r"[^\s%]+", parsed.host):
        raise BadAddress(_rule(url))
    if port is not None and not 0 < port <= MAX_PORT:
        raise BadAddress(f"{_rule(url)}: the port must be 1 to {MAX_PORT}")
    return parsed


def redact(url: str) -> str:
    """Return *url* with ``***`` for its user name and password, and for a password in its query."""
    # Up to the last @: an unquoted @ or / in a password must not leave the rest visible.
    return _PASSWORD.sub(r"\1***", _CREDENTIALS.sub("://***@", url))


def job_path(job_id: str, *rest: str) -> str:
    """Return the URL path of a job, followed by the names *rest*; all names are percent-encoded."""
    segments = [
        _segment(job_id, "id of the job"),
        *(_segment(each, "name of the file") for each in rest),
    ]
    return "/".join(["/v1/jobs", *segments])


def _segment(name: str, what: str) -> str:
    if not name:
        raise BadAddress(f"the {what} must not be empty, got ''")
    quoted = quote(name.encode(errors="surrogateescape"), safe="")
    # URL normalization, which proxies apply too, removes the segments "." and "..".
    return quoted.replace(".", "%2E") if set(name) == {"."} else quoted


def _rule(url: str) -> str:
    return f"the URL of a service must be like http://127.0.0.1:8000, got {redact(url)!r}"
