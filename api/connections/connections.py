"""The connections of this process: counted when they come, looked after while they last."""

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
from api.connections.refusals import Refusal, Why, too_many
from store.storage.usable import NO_DESCRIPTOR

log = logging.getLogger(__name__)

BEING_REFUSED = 64
"""Clients that are told at a time why they are refused; others are only cut off meanwhile."""
TELL_EVERY_S = 60.0
"""Seconds between two lines of the log about the same trouble."""
ALL, PEER = "all", "peer"
"""The limits beyond which connections are refused: of all of them, and of one address."""


class Connection(Protocol):
    """What is looked after."""

    @property
    def peer(self) -> str:
        """Address of the client, or of the network that is surely one client's."""

    @property
    def unsent(self) -> int:
        """Bytes that wait to be read, unless somebody else sees to it that they are."""

    @property
    def unread_since(self) -> float:
        """Since when little of them was read, in seconds of the loop's clock."""

    def look(self, now: float, *, spare_idle: bool) -> None:
        """Close it if it has taken too long for something."""

    def cut(self, why: Why) -> None:
        """Close it at once, and forget what was not sent."""


@dataclass(eq=False)
class Connections:
    """
    The connections of this process.

    Attributes:
        limits: what they may take.
        bodies: the bodies of their requests.
        refused: how many were refused when they came, by the limit they were beyond.
        closed: how many were closed by the service, by the reason.
        out_of_descriptors: how often none was free when looked for.
    """

    limits: Limits
    bodies: Bodies = field(init=False)
    refused: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    out_of_descriptors: int = 0
    _open: set[Connection] = field(default_factory=set)
    _of_peers: Counter[str] = field(default_factory=Counter)
    _being_refused: set[Connection] = field(default_factory=set)
    _told_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bodies = Bodies(self.limits.total_body_bytes)

    @property
    def num_open(self) -> int:
        """How many are served."""
        return len(self._open)

    def add(self, connection: Connection) -> Refusal | None:
        """Count a new connection; return what to tell it if there are too many."""
        beyond = self._beyond(connection.peer)
        if beyond is None:
            self._open.add(connection)
            self._of_peers[connection.peer] += 1
            return None
        why, limit = beyond
        self.refused[why] += 1
        self._tell(f"connections are refused: {limit} are open (limit: {why})")
        self._being_refused.add(connection)
        return too_many(limit, of_peer=why == PEER)

    @property
    def may_explain(self) -> bool:
        """Whether a connection that is refused may stay to hear why."""
        return len(self._being_refused) <= BEING_REFUSED

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._being_refused.discard(connection)
        if connection in self._open:
            self._open.discard(connection)
            self._of_peers[connection.peer] -= 1
            if not self._of_peers[connection.peer]:
                del self._of_peers[connection.peer]

    async def look_after_forever(self) -> None:
        """Close, until cancelled, the connections that take too long for something."""
        loop, period_s = asyncio.get_running_loop(), self.limits.look_s
        while True:
            due = loop.time() + period_s
            await asyncio.sleep(period_s)
            if loop.time() - due > period_s:
                await asyncio.sleep(
                    0.1
                )  # it was this process that was slow: what came is read first
            self._look(loop.time())

    def _look(self, now: float) -> None:
        spare_idle = self._has_descriptors()
        for connection in (*self._open, *self._being_refused):
            connection.look(now, spare_idle=spare_idle)
        self._bound_unsent()

    def _beyond(self, peer: str) -> tuple[str, int] | None:
        """Return the limit that one more connection of *peer* is beyond."""
        if self.num_open >= self.limits.total:
            return ALL, self.limits.total
        if self._of_peers[peer] >= self.limits.per_peer:
            return PEER, self.limits.per_peer
        return None

    def _bound_unsent(self) -> None:
        """Cut those that have not read for longest while too much waits for all of them."""
        waiting = [(each, size) for each in self._open if (size := each.unsent)]
        total = sum(size for _, size in waiting)
        for connection, size in sorted(waiting, key=lambda found: found[0].unread_since):
            if total <= self.limits.unsent_bytes:
                return
            connection.cut(Why.UNSENT)
            total -= size

    def _has_descriptors(self) -> bool:
        """
        Return whether another connection could be made.

        Without descriptors the event loop lets nobody in, or in and out again, and says nothing.
        """
        try:
            socket.socket().close()
        except OSError as error:
            if error.errno not in NO_DESCRIPTOR:
                raise
            self.out_of_descriptors += 1
            self._tell("this process has no descriptors left: new clients cannot be let in")
            return False
        return True

    def _tell(self, trouble: str) -> None:
        """Log *trouble*, once in a while."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at.get(trouble, -TELL_EVERY_S) >= TELL_EVERY_S:
            self._told_at[trouble] = now
            log.warning("%s", trouble)


def peer_of(host: str) -> str:
    """Return what a client is counted under: its address; of IPv6, the network that is its own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host  # no TCP
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
