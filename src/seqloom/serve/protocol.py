"""HTTP/1.1 as uvicorn and h11 read it, with an end to every wait for a client.

uvicorn waits without end for a header, a body, or a client that reads. Here each has a deadline that no trickle of
bytes moves, and the parts of a body and the connections are counted. Where too much is asked for, whole requests are
refused before they are parsed: saying no must cost far less than an answer, or an overload leaves no time for answers.
"""

import asyncio
import re
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from seqloom.serve.limits import Limits
from seqloom.serve.service import Service

ANSWER_SECONDS = 1.0  # for saying that the time for a body is up
# The whole of a plain request for an answer: nothing is missing, nothing follows.
ASKED = re.compile(rb"POST /v1/[^ \r\n]{1,200} HTTP/1\.1\r\n(?:[^\r\n]+\r\n)+?[Cc]ontent-[Ll]ength: ?(\d{1,7})\r\n")
ODD = re.compile(rb"\r\n(?:connection:(?! ?keep-alive\r)|expect:|transfer-encoding:|upgrade:)", re.IGNORECASE)


def _refusal(status: bytes, code: str, *fields: bytes) -> bytes:
    body = b'{"error": {"code": "%s", "message": "too much is asked for, try again shortly"}}' % code.encode()
    head = [b"HTTP/1.1 " + status, b"content-type: application/json", b"retry-after: 1", *fields]
    return b"\r\n".join([*head, b"content-length: %d" % len(body), b"", body])


TOO_MANY = _refusal(b"503 Service Unavailable", "too_many_connections", b"connection: close")
BUSY = _refusal(b"429 Too Many Requests", "busy")


class _Connection(h11.Connection):
    """h11's, counting the parts of each body."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, limits.header_bytes)
        self._most, self._parts = limits.body_parts, 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._parts = 0
        elif isinstance(event, h11.Data):
            self._parts += 1
            if self._parts > self._most:
                raise h11.RemoteProtocolError(f"a body comes in {self._most:,} parts at most")
        return event


def _is_whole(data: bytes) -> bool:
    """Whether these bytes are one plain request for an answer, to the last."""
    head, blank, body = data.partition(b"\r\n\r\n")
    head += b"\r\n"
    asked = ASKED.match(head)
    return bool(blank and asked and int(asked[1]) == len(body) and not ODD.search(head))


class _Bounded(H11Protocol):
    """uvicorn's protocol with the limits of its service, which a subclass names."""

    service: ClassVar[Service]
    _deadline: asyncio.TimerHandle | None = None
    _phase: Any = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP: it also writes
        super().connection_made(transport)
        self.conn = _Connection(self.service.limits)
        if len(self.connections) > self.service.limits.connections:
            transport.write(TOO_MANY)
            transport.close()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if not self.flow.write_paused and self._between() and _is_whole(data) and self.service.full():
            self.service.metrics.errors.labels("busy").inc()
            self._unset_keepalive_if_required()
            self.transport.write(BUSY)
            self._phase = None  # what the client owes us begins anew
        else:
            super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()
        self._watch_last()

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # an answer is begun, or there already: there is no place for another
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.service.limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self._watch_last()

    def _watch_last(self) -> None:
        """A deadline for reading the rest of a last answer, after which nothing is owed."""
        if self.transport.is_closing() and self._stalled is None:
            self._stalled = self.loop.call_later(self.service.limits.stall_seconds, self.transport.abort)

    def _between(self) -> bool:
        """Whether nothing of a request is here, and nothing of an answer is missing."""
        idle = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        return idle and (self.cycle is None or self.cycle.response_complete)

    def _watch(self) -> None:
        """A deadline for what the client owes us: a header, then a body; none while it waits for us."""
        owed = self.conn.their_state
        if owed is self._phase:
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._phase = owed
        # The guard answers a slow body; what it has not asked for is ended here, a little later.
        seconds = {
            h11.IDLE: self.service.limits.header_seconds,
            h11.SEND_BODY: self.service.limits.body_seconds + ANSWER_SECONDS,
        }.get(owed)
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        """What was owed has not come: the connection ends, without an answer where none was begun."""
        self.transport.abort()


def protocol(service: Service) -> type[H11Protocol]:
    """uvicorn's protocol with the limits of a service."""
    return type("Bounded", (_Bounded,), {"service": service})
