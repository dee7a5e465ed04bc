"""HTTP/1.1 of a connection, as uvicorn speaks it, within limits."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.connections import refusals
from api.connections.bodies import until_answered
from api.connections.client_connection import Line
from api.connections.connections import Connections, peer_of
from api.connections.limits import PACED_BYTES
from api.connections.refusals import Refusal, Why

MAX_HEADERS = 100
"""Of a request; each takes more memory than it has bytes."""
MAX_PIPELINED = 16
"""Requests of a connection that may wait for the answer to an earlier one."""
LINGER_S = 2.0
"""
Seconds for which a client that was refused may go on sending what nobody reads: were the connection
closed at once, the system would take the answer back from a client that has not read it yet.
"""
_BODIES = {b"content-length", b"transfer-encoding"}
"""Headers that announce a body."""
NO_TARGET = "what it asks for is no path"
"""Said of a first line that uvicorn makes nothing of."""


class _Refused(Exception):
    """What comes is refused; the parser hands this through."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.why)
        self.refusal = refusal


class _Coming(Enum):
    """What the client has to bring next."""

    HEAD = "the rest of the first line and the headers"
    BODY = "the rest of the body"
    REQUEST = "a request, whenever it likes"


class Protocol(HttpToolsProtocol):
    """
    uvicorn's, whose connections are counted and limited, and whose requests know their `Line`.

    A connection is always waiting for something: for its client to bring a head, a body or another
    request, or to read an answer. `look` ends what takes too long. Bytes are counted before the
    parser keeps them: since it last had something whole, it was given a head's worth at most.

    Attributes:
        peer: address of the client, or of its network.
        unread_since: since when less than `PACED_BYTES` of what waits was read.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all: Connections = app_state["connections"]
        self._limits = self._all.limits
        self.peer = ""
        self.unread_since, self._unread = 0.0, 0
        self._coming, self._since = _Coming.HEAD, self.loop.time()
        self._began = self.url = b""
        self._kept = self._body_bytes = self._num_headers = 0
        self._answered_at = self._since
        self._deaf, self._cut, self._leave_at = False, False, float("inf")

    # asyncio's takes any transport, but a server gives the protocols of TCP only these.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or refuse to."""
        super().connection_made(transport)
        self._line = Line(transport)
        self._line.watch()
        self.app_state = {**self.app_state, "line": self._line}
        self.peer = peer_of(self.client[0] if self.client else "")
        refusal = self._all.add(self)
        if refusal is not None:
            self._refuse(refusal)
            if not self._all.may_explain:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._all.remove(self)
        self._all.bodies.finish(self.cycle)  # nothing more comes of it
        for cycle, _ in self.pipeline:  # these never begin
            self._all.bodies.forget(cycle)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End what would go on for ever, when the service stops."""
        super().shutdown()
        self._line.stopping = True
        if self._line.leave is not None:
            self._line.leave()

    def data_received(self, data: bytes) -> None:
        """Let the parser have it, as much at a time as it may keep."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._began = self._began or data[:16]
        rest = memoryview(data)
        while rest and not self._deaf:
            room = self._limits.head_bytes - self._kept
            self._kept += len(rest[:room])  # unless the parser gets something whole
            self._parse(rest[:room])
            rest = rest[room:]
            if self._kept >= self._limits.head_bytes and not self._deaf:
                self._refuse(self._too_long())
        self._all.bodies.bound()  # not before: what came with the rest of its body is whole

    def _too_long(self) -> Refusal:
        limit = self._limits.head_bytes
        in_line = self._coming is _Coming.HEAD and len(self.url) > limit // 2
        return refusals.too_long(limit, in_line=in_line)

    def _parse(self, part: memoryview) -> None:
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            self._hear_no_more()  # nothing else is spoken here: this answer is the last
        except httptools.HttpParserCallbackError as error:
            match error.__context__:
                case _Refused(refusal=refusal):
                    self._refuse(refusal)
                case httptools.HttpParserInvalidURLError() | AttributeError() | UnicodeError():
                    self._refuse(refusals.malformed(self._began, NO_TARGET))
                case _:
                    raise
        except httptools.HttpParserError as error:
            self._refuse(refusals.malformed(self._began, str(error)))

    def on_message_begin(self) -> None:
        """Begin a request."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _Refused(refusals.pipelined(MAX_PIPELINED))
        super().on_message_begin()
        self._num_headers = 0
        if self._coming is _Coming.REQUEST:
            self._expect(_Coming.HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body count too."""
        self._num_headers += 1
        if self._num_headers > MAX_HEADERS:
            raise _Refused(refusals.too_many_headers(MAX_HEADERS))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the request be answered."""
        if self.parser.should_upgrade() and _BODIES & {name for name, _ in self.headers}:
            raise _Refused(refusals.upgrade_with_body())
        self._kept = self._body_bytes = 0
        self._expect(_Coming.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._kept = 0
        self._body_bytes += len(body)
        if self.cycle.response_started:
            return  # nobody will read it
        self._all.bodies.add(self.cycle, len(body), peer=self.peer, cut=self._cut_body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Have a request whole."""
        self._kept = 0
        self._all.bodies.finish(self.cycle)
        self._expect(_Coming.REQUEST)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Have a request answered."""
        self._answered_at = self.loop.time()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        def forget() -> None:
            self._all.bodies.forget(cycle)
            cycle.body = bytearray()

        super()._start_asgi_task(cycle, until_answered(app, forget))

    def timeout_keep_alive_handler(self) -> None:
        """Do nothing: `look` knows how long it has been idle, whatever bytes came meanwhile."""

    def _expect(self, what: _Coming) -> None:
        self._coming, self._since = what, self.loop.time()

    @property
    def unsent(self) -> int:
        """Bytes of answers that wait to be read; `Streams` looks after those of streams."""
        if self._cut or self._line.leave is not None:
            return 0
        return self.transport.get_write_buffer_size()

    def look(self, now: float, *, spare_idle: bool) -> None:
        """Close the connection if its client has taken too long for something."""
        if now >= self._leave_at:
            self.transport.abort()
        elif self._reads_too_slowly(now):
            self.cut(Why.UNREAD)
        elif self.flow.read_paused:
            self._since = now  # it is us who do not go on
        elif not self._deaf:
            self._look_at_what_comes(now, self._limits.idle_s if spare_idle else 0)

    def cut(self, why: Why) -> None:
        """Close the connection at once, and forget what was not sent."""
        self._all.closed[why] += 1
        self._cut = True
        self._line.cut()

    def _cut_body(self) -> None:
        """Refuse the request whose body is not whole."""
        self.cycle.body = bytearray()
        self._refuse(refusals.too_many_bodies(self._limits.total_body_bytes))

    def _reads_too_slowly(self, now: float) -> bool:
        unsent = self.unsent
        if not unsent or unsent > self._unread or unsent <= self._unread - PACED_BYTES:
            self._unread, self.unread_since = unsent, now
        return unsent > 0 and now - self.unread_since > self._limits.stall_s

    def _look_at_what_comes(self, now: float, idle_s: float) -> None:
        limits, waited = self._limits, now - self._since
        answered = self._unanswered is None
        match self._coming:
            case _Coming.HEAD if waited > limits.head_s:
                if self._began:
                    self._refuse(refusals.head_late(limits.head_s))
                else:
                    self._close(Why.SILENT)
            case _Coming.BODY if waited > limits.body_s + self._body_bytes / limits.body_pace:
                self._refuse(refusals.body_late(limits.body_s, limits.body_pace))
            case _Coming.BODY if answered and now - self._answered_at > LINGER_S:
                self.cut(Why.BODY_LATE)  # nobody will read the rest
            case _Coming.REQUEST if answered and now - max(self._since, self._answered_at) > idle_s:
                self._close(Why.IDLE)

    def _close(self, why: Why) -> None:
        self._all.closed[why] += 1
        self._deaf = True
        self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with *refusal* if its request has no answer yet, and end the connection."""
        if refusal.why is not None:
            self._all.closed[refusal.why] += 1
        self._hear_no_more()
        cycle = self._unanswered
        if cycle is not None:
            if not cycle.more_body or cycle.response_started:
                return  # it is a later request that is refused: the answers to earlier ones go out
            cycle.disconnected = True  # nobody waits for the answer any more
            cycle.message_event.set()
        if not self.pipeline and not self.transport.is_closing():
            self.transport.write(refusal.encoded())
            self.transport.write_eof()
        self._leave_at = self.loop.time() + LINGER_S

    def _hear_no_more(self) -> None:
        """Take nothing more from the client, and close once what it has asked for is answered."""
        self._deaf = True
        if (cycle := self._unanswered) is not None:
            cycle.keep_alive = False

    @property
    def _unanswered(self) -> RequestResponseCycle | None:
        """The last request, while its answer is not complete."""
        cycle: RequestResponseCycle | None = self.cycle
        return None if cycle is None or cycle.response_complete else cycle
