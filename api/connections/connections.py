"""The client connections of this process: counted, limited, and closed when they take too long."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from api.connections.bodies import Bodies
from api.connections.limits import Limits
from api.connections.refusals import CloseReason, Refusal, too_many
from store.storage.usable import NO_DESCRIPTOR

log = logging.getLogger(__name__)

# They are part of `limits.RESERVED`, which has to grow with this number.
MAX_BEING_REFUSED = 64
"""Refused connections that are kept open to send the reason; beyond it they are closed at once."""
LOG_INTERVAL_S = 60.0
"""Seconds between two lines of the log about the same problem."""
ALL, PEER = "all", "peer"
"""The limits that refuse connections: the number of all, and the number of one address."""


class Connection(Protocol):
    """What `Connections` requires of a connection."""

    @property
    def peer(self) -> str:
        """Address of the client; with IPv6, its network."""

    @property
    def unsent(self) -> int:
        """Bytes that the client has not read; 0 for a stream, which has a limit of its own."""

    @property
    def unread_since(self) -> float:
        """Since when the client has read too little of them, in seconds of the loop's clock."""

    def enforce_timeouts(self, now: float, *, spare_idle: bool) -> None:
        """Close the connection if a timeout has passed."""

    def abort(self, reason: CloseReason) -> None:
        """Close the connection at once, and discard what was not sent."""


@dataclass(eq=False)
class Connections:
    """
    The client connections of this process.

    Attributes:
        limits: those to enforce.
        bodies: the bodies of their requests.
        refused: number of connections refused on arrival, by limit.
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
        """Number of open connections, refused ones aside."""
        return len(self._open)

    def add(self, connection: Connection) -> Refusal | None:
        """Count a new connection; return the answer to it if there are too many."""
        exceeded = self._exceeded(connection.peer)
        if exceeded is None:
            self._open.add(connection)
            self._of_peers[connection.peer] += 1
            return None
        name, limit = exceeded
        self.refused[name] += 1
        self._warn(f"connections are refused: {limit} are open (limit: {name})")
        # Counted apart, so that refused connections do not keep good ones out.
        self._being_refused.add(connection)
        return too_many(limit, of_peer=name == PEER)

    @property
    def may_explain(self) -> bool:
        """Whether a refused connection may stay open until the reason is sent."""
        return len(self._being_refused) <= MAX_BEING_REFUSED

    def remove(self, connection: Connection) -> None:
        """Stop counting a closed connection."""
        self._being_refused.discard(connection)
        if connection in self._open:
            self._open.discard(connection)
            self._of_peers[connection.peer] -= 1
            if not self._of_peers[connection.peer]:  # else it grows with every address ever seen
                del self._of_peers[connection.peer]

    async def enforce_forever(self) -> None:
        """Enforce timeouts and limits until cancelled."""
        loop, period_s = asyncio.get_running_loop(), self.limits.check_s
        while True:
            due = loop.time() + period_s
            await asyncio.sleep(period_s)
            if loop.time() - due > period_s:
                # This process was slow, not its clients: let the loop read what has arrived before
                # anybody is found to be late.
                await asyncio.sleep(0.1)
            self._enforce(loop.time())

    def _enforce(self, now: float) -> None:
        # Idle connections are the first to go when descriptors run out: their clients reconnect.
        spare_idle = self._has_descriptors()
        for connection in (*self._open, *self._being_refused):
            connection.enforce_timeouts(now, spare_idle=spare_idle)
        self._limit_unsent()

    def _exceeded(self, peer: str) -> tuple[str, int] | None:
        """Return name and value of the limit that one more connection of *peer* exceeds."""
        if self.num_open >= self.limits.total:
            return ALL, self.limits.total
        if self._of_peers[peer] >= self.limits.per_peer:
            return PEER, self.limits.per_peer
        return None

    def _limit_unsent(self) -> None:
        """Abort the clients that have not read for longest, until the unsent total fits."""
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

        Nothing else would say so: without one, the event loop accepts no connection, or closes it
        at once, and logs nothing.
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
        """Log *problem*, at most once per interval."""
        now = asyncio.get_running_loop().time()
        # The texts hold nothing from clients, so this dictionary stays small.
        if now - self._logged_at.get(problem, -LOG_INTERVAL_S) >= LOG_INTERVAL_S:
            self._logged_at[problem] = now
            log.warning("%s", problem)


def peer_of(host: str) -> str:
    """Return the address that a client is counted under; with IPv6, its /64 network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host  # not TCP
    if isinstance(address, ipaddress.IPv4Address):
        return host
    # A dual-stack socket reports clients of IPv4 in this form. By network they would all be one
    # client: ::ffff:0:0/96 lies within ::/64.
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    # A client of IPv6 usually has a whole /64 to itself, and could change its address at will.
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
