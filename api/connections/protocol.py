"""uvicorn's HTTP/1.1 protocol, with limits and timeouts."""

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
from api.connections.client_connection import SCOPE_STATE, ClientConnection
from api.connections.connections import Connections, peer_of
from api.connections.limits import MIN_READ_BYTES
from api.connections.refusals import CloseReason, Refusal

MAX_HEADERS = 100
"""Maximum number of headers in a request. A header takes more memory than it has bytes, so a limit
on bytes alone is not enough."""
MAX_PIPELINED = 16
"""Maximum number of requests on a connection that wait for the response to an earlier request."""
LINGER_S = 2.0
"""
Seconds for which a refused client may continue to send, although its data is ignored. If the
connection were closed at once, TCP would reset it, and a client that has not read the response yet
would lose that response.
"""
_BODY_HEADERS = {b"content-length", b"transfer-encoding"}
"""Headers that announce a body."""
NO_TARGET = "its target is not a path"
"""Detail of the response to a first line that uvicorn cannot parse."""


class _Refused(Exception):
    """Raised in a callback of the parser to refuse the request; `_parse` sends the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class _Expected(Enum):
    """What the client has to send next."""

    HEAD = "the rest of the first line and the headers"
    BODY = "the rest of the body"
    REQUEST = "another request"


class Protocol(HttpToolsProtocol):
    """
    uvicorn's HTTP/1.1 protocol with limits; it puts a `ClientConnection` into every ASGI scope.

    A client has a limited time to send the head of a request (first line and headers), to send the
    body, to send another request, and to read a response. `enforce_timeouts` closes the connection
    when one of these times is over.

    The parser would buffer an incomplete head of any size. So this class counts the bytes that it
    passes to the parser. The count starts anew when the parser reports a complete head, a piece of
    a body, or a complete request. When the count reaches the maximum size of a head, the request is
    refused.

    Attributes:
        peer: address of the client; with IPv6, the /64 network of that address.
        unread_since: time when the client last read `MIN_READ_BYTES` of a waiting response, or when
            the response began to wait, in seconds of the event loop's clock.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._connections: Connections = app_state["connections"]
        self._limits = self._connections.limits
        self.peer = ""
        self.unread_since, self._unread = 0.0, 0
        self._expected, self._since = _Expected.HEAD, self.loop.time()
        self._began = self.url = b""
        self._buffered = self._body_bytes = self._num_headers = 0
        self._answered_at = self._since
        self._ignoring, self._aborted, self._abort_at = False, False, float("inf")

    # asyncio declares any transport, but a TCP server passes only this kind.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Serve the connection, or refuse it if there are too many connections."""
        super().connection_made(transport)
        self._client = ClientConnection(transport)
        # For responses of every kind: 150 clients that did not read an export took 400 MB.
        self._client.limit_buffers()
        # A copy: all connections are given the same dict, which uvicorn copies into each scope.
        self.app_state = {**self.app_state, SCOPE_STATE: self._client}
        self.peer = peer_of(self.client[0] if self.client else "")
        refusal = self._connections.add(self)
        if refusal is not None:
            self._refuse(refusal)
            if not self._connections.may_explain:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection and the bodies of its requests."""
        self._connections.remove(self)
        # Not `forget`: the application may still work on the body until the response begins.
        self._connections.bodies.finish(self.cycle)  # the rest of the body will not arrive
        for cycle, _ in self.pipeline:  # responses to these never begin
            self._connections.bodies.forget(cycle)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """
        Close the connection once the response that is due is sent.

        An open stream ends at once.
        """
        super().shutdown()
        self._client.shutting_down = True
        if self._client.on_shutdown is not None:
            self._client.on_shutdown()

    def data_received(self, data: bytes) -> None:
        """Feed *data* to the parser, in pieces no larger than the parser may buffer."""
        if self._ignoring:
            return
        self._unset_keepalive_if_required()
        self._began = self._began or data[:16]  # shows TLS and HTTP/2, which get a clearer error
        rest = memoryview(data)  # slices of it are not copies
        while rest and not self._ignoring:
            size = self._limits.head_bytes - self._buffered
            self._buffered += len(rest[:size])  # reset by the parser's callbacks
            self._parse(rest[:size])
            rest = rest[size:]
            if self._buffered >= self._limits.head_bytes and not self._ignoring:
                self._refuse(self._too_long())
        # Only now: a body that *data* completes must not be refused.
        self._connections.bodies.enforce()

    def _too_long(self) -> Refusal:
        limit = self._limits.head_bytes
        in_line = self._expected is _Expected.HEAD and len(self.url) > limit // 2
        return refusals.too_long(limit, in_line=in_line)

    def _parse(self, part: memoryview) -> None:
        # uvicorn itself would write a plain-text 400 at once, in the middle of the response to an
        # earlier request.
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            self._ignore_input()  # no other protocol is offered: answer this request, then close
        except httptools.HttpParserCallbackError as error:
            # httptools replaces every error that a callback raises by an error of its own.
            match error.__context__:
                case _Refused(refusal=refusal):
                    self._refuse(refusal)
                # From uvicorn's on_headers_complete: the target cannot be parsed, or has no path,
                # like the target of CONNECT.
                case httptools.HttpParserInvalidURLError() | AttributeError() | UnicodeError():
                    self._refuse(refusals.malformed(self._began, NO_TARGET))
                case _:
                    raise
        except httptools.HttpParserError as error:
            self._refuse(refusals.malformed(self._began, str(error)))

    def on_message_begin(self) -> None:
        """Begin a request, or refuse it if too many requests of this connection wait."""
        # uvicorn stops reading after a pipelined request, but the data read before may contain
        # hundreds.
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _Refused(refusals.pipelined(MAX_PIPELINED))
        super().on_message_begin()
        self._num_headers = 0
        if self._expected is _Expected.REQUEST:
            self._expect(_Expected.HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header or trailer of the request; raise `_Refused` above `MAX_HEADERS` of them."""
        self._num_headers += 1
        if self._num_headers > MAX_HEADERS:
            raise _Refused(refusals.too_many_headers(MAX_HEADERS))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application for the request."""
        # After an upgrade the parser takes a body for another protocol, and would not limit it.
        if self.parser.should_upgrade() and _BODY_HEADERS & {name for name, _ in self.headers}:
            raise _Refused(refusals.upgrade_with_body())
        self._buffered = self._body_bytes = 0
        self._expect(_Expected.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """
        Count a part of the body, and pass it on to the application.

        A part that arrives after the response has begun is discarded.
        """
        self._buffered = 0
        self._body_bytes += len(body)
        # uvicorn would hold this part until the next request on the connection.
        if self.cycle.response_started:
            return  # the application will not read this part
        self._connections.bodies.add(
            self.cycle, len(body), peer=self.peer, refuse=self._refuse_body
        )
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Record that the request is complete."""
        self._buffered = 0
        self._connections.bodies.finish(self.cycle)
        self._expect(_Expected.REQUEST)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Record that the response is complete."""
        self._answered_at = self.loop.time()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        def forget() -> None:
            self._connections.bodies.forget(cycle)
            cycle.body = bytearray()

        super()._start_asgi_task(cycle, until_answered(app, forget))

    # Any byte cancels uvicorn's timer, even a byte that begins no request: a client could then stay
    # connected for ever.
    def timeout_keep_alive_handler(self) -> None:
        """Do nothing, since `enforce_timeouts` closes idle connections."""

    def _expect(self, what: _Expected) -> None:
        self._expected, self._since = what, self.loop.time()

    @property
    def unsent(self) -> int:
        """Bytes of a response that wait to be sent; 0 for a stream, which `OpenStreams` limits."""
        if self._aborted or self._client.on_shutdown is not None:
            return 0
        return self.transport.get_write_buffer_size()

    def enforce_timeouts(self, now: float, *, spare_idle: bool) -> None:
        """Close the connection if a timeout has passed; see `Connection.enforce_timeouts`."""
        if now >= self._abort_at:
            self.transport.abort()
        elif self._reads_too_slowly(now):
            self.abort(CloseReason.UNREAD)
        elif self.flow.read_paused:
            self._since = now  # this process does not read, so its client is not late
        elif not self._ignoring:
            self._enforce_expected(now, self._limits.idle_s if spare_idle else 0)

    def abort(self, reason: CloseReason) -> None:
        """Close the connection at once, and discard the data not sent yet."""
        self._connections.closed[reason] += 1
        self._aborted = True
        self._client.abort()

    def _refuse_body(self) -> None:
        """Refuse the current request, whose body is incomplete, to free memory."""
        self.cycle.body = bytearray()
        self._refuse(refusals.too_many_bodies(self._limits.total_body_bytes))

    def _reads_too_slowly(self, now: float) -> bool:
        unsent = self.unsent
        # Progress counts only in steps of MIN_READ_BYTES: otherwise a client that reads a byte now
        # and then would hold its buffer for ever.
        if not unsent or unsent > self._unread or unsent <= self._unread - MIN_READ_BYTES:
            self._unread, self.unread_since = unsent, now
        return unsent > 0 and now - self.unread_since > self._limits.stall_s

    def _enforce_expected(self, now: float, idle_s: float) -> None:
        limits, waited = self._limits, now - self._since
        answered = self._unanswered is None
        match self._expected:
            case _Expected.HEAD if waited > limits.head_s:
                if self._began:
                    self._refuse(refusals.head_late(limits.head_s))
                else:
                    self._close(CloseReason.SILENT)
            case _Expected.BODY if (
                waited > limits.body_s + self._body_bytes / limits.body_bytes_per_s
            ):
                self._refuse(refusals.body_late(limits.body_s, limits.body_bytes_per_s))
            case _Expected.BODY if answered and now - self._answered_at > LINGER_S:
                self.abort(CloseReason.BODY_LATE)  # the rest will not be read
            case _Expected.REQUEST if (
                answered and now - max(self._since, self._answered_at) > idle_s
            ):
                self._close(CloseReason.IDLE)

    def _close(self, reason: CloseReason) -> None:
        self._connections.closed[reason] += 1
        self._ignoring = True
        self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """
        Send *refusal* and close the connection.

        *refusal* is not sent if the response to a complete request is due, or if any response has
        begun. That response is sent instead, and then the connection is closed.
        """
        if refusal.reason is not None:
            self._connections.closed[refusal.reason] += 1
        self._ignore_input()
        cycle = self._unanswered
        if cycle is not None:
            if not cycle.more_body or cycle.response_started:
                return  # the response that is due, or has begun, is still sent
            cycle.disconnected = True  # tell the application to give up
            cycle.message_event.set()
        if not self.pipeline and not self.transport.is_closing():
            # Written past uvicorn, whose cycle may be in any state. Then the connection is
            # half-closed: the client sees the end of the response, and may still be sending.
            self.transport.write(refusal.encoded())
            self.transport.write_eof()
        self._abort_at = self.loop.time() + LINGER_S

    def _ignore_input(self) -> None:
        """Ignore further input, and close the connection after the responses that are due."""
        self._ignoring = True
        if (cycle := self._unanswered) is not None:
            # Makes uvicorn close the connection after this response.
            cycle.keep_alive = False

    @property
    def _unanswered(self) -> RequestResponseCycle | None:
        """The current request if its response is not complete, else None."""
        cycle: RequestResponseCycle | None = self.cycle
        return None if cycle is None or cycle.response_complete else cycle
