"""The limits of connections, from the settings and the number of descriptors."""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass

from store.settings import Settings

log = logging.getLogger(__name__)

RESERVED = 256
"""
Descriptors never used for clients: connections to the store (32 for requests, 8 for streams, one
for each of 40 threads that wake workers or call the store), 20 files, 64 clients being refused, and
what the process opens itself.
"""
DEFAULT_CONNECTIONS = 8192
"""Limit unless a setting says otherwise. An idle connection takes some 10 KB, a stream 30 KB."""
PEER_SHARE = 0.75
"""
Default limit of one address, as a share of all connections. Behind a proxy, or a port published by
Docker, all clients have one address, so the default leaves only a quarter to others.
"""
MIN_READ_BYTES = 16 * 1024
"""What a client must read of an unsent response within each stall timeout."""


@dataclass(frozen=True)
class Limits:
    """
    The limits of connections.

    Attributes:
        head_bytes: size of a request's first line and headers together.
        head_s: time until they are complete.
        body_s: time until the body is complete; every `body_bytes_per_s` bytes give another second.
        body_bytes_per_s: bytes per second.
        idle_s: time between two requests.
        stall_s: time in which a client must read `MIN_READ_BYTES` of a response.
        unsent_bytes: size of the unsent parts of all responses together.
        total_body_bytes: size of the bodies of all requests whose response has not begun.
        total: number of connections.
        per_peer: number of connections of one address.
    """

    head_bytes: int
    head_s: float
    body_s: float
    body_bytes_per_s: float
    idle_s: float
    stall_s: float
    unsent_bytes: int
    total_body_bytes: int
    total: int
    per_peer: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits of *settings*, lowered to what the number of descriptors allows."""
        total = _total(settings.max_connections)
        per_peer = settings.max_connections_per_peer or max(1, int(PEER_SHARE * total))
        return cls(
            head_bytes=settings.max_head_bytes,
            head_s=settings.head_timeout_s,
            body_s=settings.body_timeout_s,
            body_bytes_per_s=settings.body_bytes_per_s,
            idle_s=settings.idle_timeout_s,
            stall_s=settings.stream_stall_s,
            unsent_bytes=settings.max_unsent_bytes,
            # A single body of the allowed size must always fit.
            total_body_bytes=max(settings.max_total_body_bytes, settings.max_body_bytes),
            total=total,
            per_peer=min(per_peer, total),
        )

    @property
    def check_s(self) -> float:
        """Interval between checks of all connections."""
        # A quarter of the shortest timeout: none is exceeded by more than that.
        return min(1.0, *(s / 4 for s in (self.head_s, self.body_s, self.idle_s, self.stall_s)))


def _total(wanted: int | None) -> int:
    """Return the limit of connections with which descriptors cannot run out."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Half at least goes to clients: with very few descriptors the reserve would leave none.
    possible = descriptors - min(RESERVED, descriptors // 2)
    if wanted is not None and wanted > possible:
        log.warning(
            "OPTSERVE_MAX_CONNECTIONS must be at most %d, as this process may have %d files and "
            "connections open, got %d: it is %d",
            possible,
            descriptors,
            wanted,
            possible,
        )
    return min(possible, DEFAULT_CONNECTIONS if wanted is None else wanted)
