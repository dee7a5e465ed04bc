"""The client connections of this process: counted, limited, and closed when they take too long."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from api.connections.bodies import Bodies
from api.connections.limits import Limits
from api.connections.refusals import CloseReason, Refusal, too_many
from store.storage.usable import NO_DESCRIPTOR

log = logging.getLogger(__name__)

# Their descriptors are part of `limits.RESERVED`, which has to grow with this number.
MAX_BEING_REFUSED = 64
"""Maximum number of refused connections kept open to send the reason; others are closed at once."""
LOG_INTERVAL_S = 60.0
"""Minimum number of seconds between two log lines about the same problem."""
ALL, PEER = "all", "peer"
"""Names of the limits on the number of connections: in all, and from one address."""


class Connection(Protocol):
    """The interface that `Connections` requires a connection to have."""

    @property
    def peer(self) -> str:
        """Address of the client; with IPv6, the /64 network of that address."""

    @property
    def unsent(self) -> int:
        """Bytes of responses that wait to be sent; 0 for a stream, which has a limit of its own."""

    @property
    def unread_since(self) -> float:
        """Time of the client's last progress in reading, in seconds of the event loop's clock."""

    def enforce_timeouts(self, now: float, *, spare_idle: bool) -> None:
        """
        Close the connection if a timeout has passed.

        Args:
            now: the time on the event loop's clock, in seconds.
            spare_idle: whether an idle connection may stay open until its timeout; if false, it is
                closed at once.
        """

    def abort(self, reason: CloseReason) -> None:
        """Close the connection at once, and discard the data not sent yet."""


@dataclass(eq=False)
class Connections:
    """
    The client connections of this process.

    Attributes:
        limits: the limits to enforce.
        bodies: the bodies of the requests on these connections.
        refused: number of connections refused on arrival, by the name of the limit.
        closed: number of connections closed by the service, by reason.
        out_of_descriptors: number of checks that found no free descriptor.
    """

    limits: Limits
    bodies: Bodies = field(init=False)
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    out_of_descriptors: int = 0
    _open: set[Connection] = field(default_factory=set)
    _of_peers: Counter[str] = field(default_factory=Counter)
    _being_refused: set[Connection] = field(default_factory=set)
    _logged_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bodies = Bodies(self.limits.total_body_bytes)

    @property
    def num_open(self) -> int:
        """Number of open connections, without refused ones that are still open."""
        return len(self._open)

    def add(self, connection: Connection) -> Refusal | None:
        """Count a new connection; return a refusal if there are too many connections, else None."""
        exceeded = self._exceeded(connection.peer)
        if exceeded is None:
            self._open.add(connection)
            self._of_peers[connection.peer] += 1
            return None
        name, limit = exceeded
        self.refused[name] += 1
        self._warn(f"connections are refused: {limit} are open (limit: {name})")
        # Counted separately, so that refused connections do not keep others out.
        self._being_refused.add(connection)
        return too_many(limit, of_peer=name == PEER)

    @property
    def may_explain(self) -> bool:
        """Whether a refused connection may stay open until the refusal is sent to the client."""
        return len(self._being_refused) <= MAX_BEING_REFUSED

    def remove(self, connection: Connection) -> None:
        """Stop counting a connection that was closed."""
        self._being_refused.discard(connection)
        if connection in self._open:
            self._open.discard(connection)
            self._of_peers[connection.peer] -= 1
            if not self._of_peers[connection.peer]:  # else the counter grows with every address
                del self._of_peers[connection.peer]

    async def enforce_forever(self) -> None:
        """Enforce timeouts and limits until cancelled."""
        loop, period_s = asyncio.get_running_loop(), self.limits.check_s
        while True:
            due = loop.time() + period_s
            await asyncio.sleep(period_s)
            if loop.time() - due > period_s:
                # This process was slow, not its clients: let the loop read what has arrived before
                # any client is found to be late.
                await asyncio.sleep(0.1)
            self._enforce(loop.time())

    def _enforce(self, now: float) -> None:
        # When descriptors run out, idle connections are closed first: their clients can reconnect.
        spare_idle = self._has_descriptors()
        for connection in (*self._open, *self._being_refused):
            connection.enforce_timeouts(now, spare_idle=spare_idle)
        self._limit_unsent()

    def _exceeded(self, peer: str) -> tuple[str, int] | None:
        """Return the name and value of the limit that one more connection would exceed, or None."""
        if self.num_open >= self.limits.total:
            return ALL, self.limits.total
        if self._of_peers[peer] >= self.limits.per_peer:
            return PEER, self.limits.per_peer
        return None

    def _limit_unsent(self) -> None:
        """
        Abort connections until the unsent bytes of all connections are within the limit.

        The connections whose clients have read nothing for the longest time are aborted first.
        """
        waiting = [(each, size) for each in self._open if (size := each.unsent)]
        total = sum(size for _, size in waiting)
        for connection, size in sorted(waiting, key=lambda found: found[0].unread_since):
            if total <= self.limits.unsent_bytes:
                return
            connection.abort(CloseReason.UNSENT)
            total -= size

    def _has_descriptors(self) -> bool:
        """
        Return whether this process can open another descriptor.

        When descriptors have run out, the event loop accepts no connection, or closes it at once,
        and logs nothing. So only this check shows that none are left.
        """
        try:
            socket.socket().close()
        except OSError as error:
            if error.errno not in NO_DESCRIPTOR:
                raise
            self.out_of_descriptors += 1
            self._warn("this process has no descriptors left: new connections cannot be accepted")
            return False
        return True

    def _warn(self, problem: str) -> None:
        """Log *problem*, but each problem at most once in `LOG_INTERVAL_S` seconds."""
        now = asyncio.get_running_loop().time()
        # The texts contain nothing that clients send, so this dictionary stays small.
        if now - self._logged_at.get(problem, -LOG_INTERVAL_S) >= LOG_INTERVAL_S:
            self._logged_at[problem] = now
            log.warning("%s", problem)


# Each request asks for it, and parsing an address takes 5 us.
@lru_cache(maxsize=1024)
def peer_of(host: str) -> str:
    """Return the address under which a client is counted; with IPv6, its /64 network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host  # not TCP
    if isinstance(address, ipaddress.IPv4Address):
        return host
    # A dual-stack socket reports IPv4 clients in this form. By network, all of them would be one
    # client, since ::ffff:0:0/96 lies within ::/64.
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    # An IPv6 client usually has a whole /64 network, and can change its address within that.
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
