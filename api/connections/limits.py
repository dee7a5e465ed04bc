"""The limits on connections, from the settings and the number of available descriptors."""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass

from store.settings import Settings

log = logging.getLogger(__name__)

RESERVED = 256
"""
Number of descriptors that are never used for clients. They are for connections to the store (32 for
requests, 8 for streams, one for each of 40 threads that wake workers or call the store), 20 files,
64 connections being refused, and what the process itself opens.
"""
DEFAULT_CONNECTIONS = 8192
"""Maximum number of connections if no setting gives it. An idle connection takes some 10 KB, a
stream 30 KB."""
PEER_SHARE = 0.75
"""
Default limit for one address, as a share of the limit for all connections. Behind a proxy, or a
port published by Docker, all clients have one address, so only a quarter is left for other
addresses.
"""
MIN_READ_BYTES = 16 * 1024
"""Bytes that a client must read of a waiting response within each stall timeout."""


@dataclass(frozen=True)
class Limits:
    """
    The limits on connections.

    Attributes:
        head_bytes: maximum size of the first line and headers of a request together.
        head_s: seconds in which the first line and headers must be complete.
        body_s: seconds in which the body of a request must be complete; large bodies get more, see
            `body_bytes_per_s`.
        body_bytes_per_s: number of received bytes that add one second to `body_s`.
        idle_s: seconds that a connection may stay open without a further request.
        stall_s: seconds in which a client must read `MIN_READ_BYTES` of a response.
        unsent_bytes: maximum size of the unsent parts of all responses together.
        total_body_bytes: maximum total size of the bodies of requests whose response has not begun.
        total: maximum number of connections.
        per_peer: maximum number of connections from one address; with IPv6, one /64 network.
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
        """Return the limits in *settings*, with fewer connections if descriptors are few."""
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
        """Seconds between two checks of all connections."""
        # A quarter of the shortest timeout: no timeout is exceeded by more than that.
        return min(1.0, *(s / 4 for s in (self.head_s, self.body_s, self.idle_s, self.stall_s)))


def _total(wanted: int | None) -> int:
    """
    Return the maximum number of connections: *wanted*, or less if there are few descriptors.

    None for *wanted* stands for `DEFAULT_CONNECTIONS`. `RESERVED` descriptors, but at most half of
    all, are not used for client connections.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # At least half is for clients: of very few descriptors, the reserve would leave none.
    possible = descriptors - min(RESERVED, descriptors // 2)
    if wanted is not None and wanted > possible:
        log.warning(
            "OPTSERVE_MAX_CONNECTIONS must be at most %d, since this process may open %d files and "
            "connections, got %d: the limit is now %d",
            possible,
            descriptors,
            wanted,
            possible,
        )
    return min(possible, DEFAULT_CONNECTIONS if wanted is None else wanted)
