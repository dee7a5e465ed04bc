"""The limits of connections, from the settings and from what the system allows."""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass

from store.settings import Settings

log = logging.getLogger(__name__)

RESERVED = 256
"""
Descriptors that connections of clients never take: the store's (32 for requests, 8 for streams, one
for each of 40 threads that ring or ask), 20 for files, 64 for clients that are being refused, and
what the process has open itself.
"""
MOST = 8192
"""Connections at most, unless a setting says more: an idle one takes some 10 KB, a stream 30."""
SHARE_OF_A_PEER = 0.75
"""
Of all connections, for those of one address. Behind a proxy, and behind a port that Docker
publishes, all clients have one address: so the default keeps a quarter for the others, and no more.
"""
PACED_BYTES = 16 * 1024
"""What a client must take of an answer that waits, each time that its patience has passed."""


@dataclass(frozen=True)
class Limits:
    """
    What connections may take.

    Attributes:
        head_bytes: of a request's first line and headers together.
        head_s: until they are there.
        body_s: until the body is there, and
        body_pace: bytes of it that each further second must bring.
        idle_s: between two requests.
        stall_s: without anything of an answer being read.
        unsent_bytes: of all answers that wait to be read.
        total_body_bytes: of all bodies of requests whose answers have not begun.
        total: connections.
        per_peer: of those, of one address.
    """

    head_bytes: int
    head_s: float
    body_s: float
    body_pace: float
    idle_s: float
    stall_s: float
    unsent_bytes: int
    total_body_bytes: int
    total: int
    per_peer: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return those that *settings* say, as far as this process has descriptors."""
        total = _total(settings.max_connections)
        per_peer = settings.max_connections_per_peer or max(1, int(SHARE_OF_A_PEER * total))
        return cls(
            head_bytes=settings.max_head_bytes,
            head_s=settings.head_timeout_s,
            body_s=settings.body_timeout_s,
            body_pace=settings.body_bytes_per_s,
            idle_s=settings.idle_timeout_s,
            stall_s=settings.stream_stall_s,
            unsent_bytes=settings.max_unsent_bytes,
            # a single body is never too many
            total_body_bytes=max(settings.max_total_body_bytes, settings.max_body_bytes),
            total=total,
            per_peer=min(per_peer, total),
        )

    @property
    def look_s(self) -> float:
        """Seconds between two looks at all connections."""
        return min(1.0, *(s / 4 for s in (self.head_s, self.body_s, self.idle_s, self.stall_s)))


def _total(wanted: int | None) -> int:
    """Return how many connections there may be, so that descriptors never run out."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
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
    return min(possible, MOST if wanted is None else wanted)
