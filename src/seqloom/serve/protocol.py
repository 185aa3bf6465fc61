"""HTTP/1.1 as uvicorn and h11 read it, with an end to every wait for a client.

uvicorn waits without end for a header, a body, or a client that reads. Here each has a deadline that no trickle of
bytes moves, and the parts of a body and the connections are counted.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from seqloom.serve.limits import Limits

ANSWER_SECONDS = 1.0  # for saying that the time for a body is up
FULL_BODY = b'{"error": {"code": "too_many_connections", "message": "try again shortly"}}'
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(FULL_BODY), FULL_BODY)
)


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


def protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol with these limits."""

    class Bounded(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _phase: Any = None
        _stalled: asyncio.TimerHandle | None = None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.conn = _Connection(limits)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.write(FULL)
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
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stalled = self.loop.call_later(limits.stall_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._stalled is not None:
                self._stalled.cancel()
                self._stalled = None

        def _watch(self) -> None:
            """A deadline for what the client owes us: a header, then a body; none while it waits for us."""
            owed = self.conn.their_state
            if owed is self._phase and owed is not h11.IDLE:
                return
            if owed is h11.IDLE and self._phase is h11.IDLE and self._deadline is not None:
                return
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
            self._phase = owed
            # The guard answers a slow body; what it has not asked for is ended here, a little later.
            seconds = {h11.IDLE: limits.header_seconds, h11.SEND_BODY: limits.body_seconds + ANSWER_SECONDS}.get(owed)
            if seconds is not None:
                self._deadline = self.loop.call_later(seconds, self._too_late)

        def _too_late(self) -> None:
            """What was owed has not come: the connection ends, without an answer where none was begun."""
            self.transport.abort()

    return Bounded
