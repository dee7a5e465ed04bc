"""Requests with a body, as bytes."""

from __future__ import annotations

import json

from tests.support.store.protocol import SPEC

POST = b"POST /v1/jobs/validate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SPEC_TEXT = json.dumps(SPEC).encode()


def length(size: int) -> bytes:
    """Return the head of a request that announces a body of *size* bytes."""
    return POST + b"Content-Length: %d\r\n\r\n" % size
