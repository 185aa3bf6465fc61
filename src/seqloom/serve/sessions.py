"""Sessions: texts whose state the server keeps between requests.

One table, one way in and one way out. A session is free or busy with one step; only the step itself frees it, whatever
becomes of the request that asked for it, and only a free one can expire. So no state is ever used by two, or after its
end.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from seqloom.inference import Piece, Reading
from seqloom.serve.hosted import Hosted
from seqloom.serve.limits import Limits
from seqloom.serve.refusal import Refusal, busy

Advance = Callable[[Reading, Piece], Awaitable[tuple[Reading, dict[str, Any]]]]


class _Last(NamedTuple):
    """The last step taken: what a retry of it must ask for, and what it is answered."""

    seq: int
    piece: Piece | None
    answer: dict[str, Any]


class Session:
    """One text, what was read of it, and whose it is."""

    def __init__(self, owner: str, model: Hosted, reading: Reading, now: float) -> None:
        self.id = secrets.token_urlsafe(16)
        self.owner, self.model, self.reading = owner, model, reading
        self.last = _Last(0, None, {})
        self.used, self.busy = now, False

    @property
    def size(self) -> int:
        """Bytes it takes, nearly; the answer kept for a retry counts as four times the piece it answers."""
        piece = self.last.piece
        return self.reading.size + (0 if piece is None else 16 * len(piece.text)) + 1024


class Sessions:
    """All sessions of a server, the one used longest ago first."""

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._steps: set[asyncio.Task[dict[str, Any]]] = set()
        self.bytes = 0
        self.expired = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, owner: str, model: Hosted, reading: Reading) -> Session:
        """A new session of `owner`. Raises Refusal where there are too many."""
        self.sweep()
        session = Session(owner, model, reading, self._clock())
        if len(self._sessions) >= self._limits.sessions or self.bytes + session.size > self._limits.session_bytes:
            raise busy(f"{len(self._sessions)} sessions are open already", status=503, code="sessions_full")
        self._sessions[session.id] = session
        self.bytes += session.size
        return session

    def find(self, id: str, owner: str) -> Session:
        """A session of `owner`. Raises Refusal, the same whether it never was, has ended or is another's."""
        self.sweep()
        session = self._sessions.get(id)
        if session is None or session.owner != owner:
            raise Refusal(404, "no_such_session", "there is no such session, or no longer", hint="open a new one")
        return session

    def close(self, id: str, owner: str) -> None:
        """End a session. Raises Refusal."""
        self._drop(self.find(id, owner))

    def sweep(self) -> None:
        """End the sessions that nobody has used for too long."""
        now = self._clock()
        for session in list(self._sessions.values()):
            if session.used + self._limits.session_seconds > now:
                break
            if not session.busy:
                self._drop(session)
                self.expired += 1

    async def step(self, id: str, owner: str, seq: int, piece: Piece, advance: Advance) -> dict[str, Any]:
        """Read the next piece, `seq` being one more than the last; the last one again gives the same answer.

        Once begun a step is taken, even where the client has gone: it may ask again. Raises Refusal.
        """
        session = self.find(id, owner)
        if session.busy:
            raise busy("the session is busy with another step", status=409, code="session_busy")
        last = session.last
        if seq == last.seq and last.piece == piece:
            self._touch(session)
            return last.answer
        if seq == last.seq and last.piece is not None:
            raise Refusal(409, "wrong_seq", f"step {seq} has read another piece already", field="seq")
        if seq != last.seq + 1:
            raise Refusal(409, "wrong_seq", f"the next step of this session is {last.seq + 1}", field="seq")
        if last.piece is not None and last.piece.last:
            raise Refusal(409, "session_ended", "the text of this session has ended", hint="open a new one")
        session.busy = True
        self._touch(session)
        task = asyncio.get_running_loop().create_task(self._take(session, seq, piece, advance))
        self._steps.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def _take(self, session: Session, seq: int, piece: Piece, advance: Advance) -> dict[str, Any]:
        try:
            reading, answer = await advance(session.reading, piece)
            self._commit(session, reading, _Last(seq, piece, answer))
            return answer
        finally:
            session.busy = False

    def _commit(self, session: Session, reading: Reading, last: _Last) -> None:
        before = session.size, session.reading, session.last
        session.reading, session.last = reading, last
        if session.id not in self._sessions:
            return  # closed meanwhile: nothing is kept
        grown = session.size - before[0]
        if self.bytes + grown > self._limits.session_bytes:
            session.reading, session.last = before[1:]
            raise busy("there is no memory left for sessions", status=503, code="sessions_full")
        self.bytes += grown
        self._touch(session)

    def _touch(self, session: Session) -> None:
        session.used = self._clock()
        if session.id in self._sessions:
            self._sessions.move_to_end(session.id)

    def _drop(self, session: Session) -> None:
        del self._sessions[session.id]
        self.bytes -= session.size

    def _done(self, task: "asyncio.Task[dict[str, Any]]") -> None:
        self._steps.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever asked for it may have gone
