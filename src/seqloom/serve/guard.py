"""The door: who may come in, with how much, and for how long. Everything behind it sees whole, bounded requests.

An ASGI application around another. It reads the body, so that nothing behind it waits for a client; it ends a request
whose time is up or whose client has gone; and whatever happens behind it becomes an answer without a trace of how.
"""

import asyncio
import json
import logging
import re
import secrets
import time
import traceback

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seqloom.serve.refusal import Refusal, a_bug, busy
from seqloom.serve.service import Service

log = logging.getLogger("seqloom.serve")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# What a browser has to load before anybody can give it a token, and what balancers ask.
OPEN = ("/", "/docs", "/openapi.json", "/health/live", "/health/ready", "/health", "/healthz", "/readyz")
OPEN_FOLDER = "/page/"
HEALTH = ("/health/live", "/health/ready", "/health", "/healthz", "/readyz")
SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Call:
    """One request on its way: what the routes are told of it and tell of it."""

    def __init__(self, scope: Scope, deadline: float) -> None:
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = self.headers.get("x-request-id", "")
        self.id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.owner, self.deadline = "", deadline
        self.fields: list[tuple[bytes, bytes]] = []  # headers that a route adds
        self.status = 0


class Guard:
    """See above. `app` answers, `service` says what is allowed."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service, self._limits = app, service, service.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the start and end of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        call = Call(scope, started + self._limits.request_seconds)
        scope["seqloom"] = call
        answer = _Answer(call, send)
        service = self._service
        counts = scope["path"] not in HEALTH
        full = counts and service.full()
        service.open += counts
        code = None
        try:
            code = await self._serve(scope, receive, answer, full=full)
        finally:
            service.open -= counts
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
            service.metrics.requests.labels(route, method, str(call.status)).inc()
            service.metrics.seconds.labels(route).observe(time.monotonic() - started)
            if code is not None:
                service.metrics.errors.labels(code).inc()

    async def _serve(self, scope: Scope, receive: Receive, answer: "_Answer", *, full: bool) -> str | None:
        """Answer a request; the code of what went wrong, None where nothing did."""
        call = answer.call
        try:
            if full:
                raise busy("too many requests are being answered already")
            self._check(scope, call)
            body = await self._read(scope, call, receive)
            await self._run(scope, call, _Received(body, receive), answer)
            return None
        except Refusal as refused:
            await answer.refuse(refused)
            return refused.code
        except _GoneError:
            call.status = 499  # what others log for a client that did not wait
            return "client_gone"
        except Exception as error:  # noqa: BLE001 - a bug becomes an answer without a trace of how
            log.error("request %s: %s", call.id, "".join(traceback.format_exception(error)))
            await answer.refuse(a_bug())
            return "internal"

    def _check(self, scope: Scope, call: Call) -> None:
        """Raise Refusal for what is not even read."""
        path, limits = scope["path"], self._limits
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > limits.url_bytes:
            raise Refusal(414, "url_too_long", f"paths have {limits.url_bytes:,} bytes at most")
        if len(scope["headers"]) > limits.header_fields:
            raise Refusal(431, "too_many_headers", f"{limits.header_fields} headers at most")
        if "transfer-encoding" in call.headers and "content-length" in call.headers:
            raise Refusal(400, "bad_header", "a body has one length, not two", hint="leave out Transfer-Encoding")
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._service.address.knows(call.headers["host"]):
            raise Refusal(403, "unknown_host", "the Host header names another server", hint="--allow-host NAME")
        origin = call.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != call.headers["host"]:
            raise Refusal(403, "foreign_origin", "requests from pages of other sites are not answered")
        if path not in OPEN and not path.startswith(OPEN_FOLDER):
            owner = self._service.address.owner(call.headers.get("authorization", ""))
            if owner is None:
                raise Refusal(401, "no_token", "a token is needed", hint="Authorization: Bearer TOKEN")
            call.owner = owner
        if timeout := call.headers.get("x-timeout-ms"):
            if not re.fullmatch("[0-9]{1,9}", timeout):
                raise Refusal(400, "bad_header", "X-Timeout-Ms must be a number of milliseconds")
            call.deadline = min(call.deadline, time.monotonic() + int(timeout) / 1000)

    async def _read(self, scope: Scope, call: Call, receive: Receive) -> bytes:
        """The whole body. Raises Refusal for one that is too large or too slow, or is no JSON."""
        limits = self._limits
        declared = call.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limits.body_bytes:
            raise _too_large(limits.body_bytes)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limits.body_bytes or len(parts) > limits.body_parts:
                        raise _too_large(limits.body_bytes)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise Refusal(408, "slow_body", f"a body must come within {limits.body_seconds:g} s") from None
        kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and size and kind != "application/json":
            raise Refusal(415, "not_json", "the body must be JSON", hint="Content-Type: application/json")
        return b"".join(parts)

    async def _run(self, scope: Scope, call: Call, received: "_Received", answer: "_Answer") -> None:
        """Let the application answer until its time is up or the client has gone."""
        loop = asyncio.get_running_loop()
        gone = over = False

        def leave(_: "asyncio.Task[None]") -> None:
            nonlocal gone
            if not over:  # a call that is on its way cannot be taken back
                gone = True
                deadline.reschedule(loop.time())

        left = max(0.0, call.deadline - time.monotonic())
        watch = loop.create_task(received.until_gone())
        try:
            async with asyncio.timeout(left) as deadline:
                watch.add_done_callback(leave)
                await self._app(scope, received.receive, answer.send)
        except TimeoutError:
            if gone:
                raise _GoneError from None
            raise Refusal(504, "too_slow", "the time for this request is up", hint="ask for less at once") from None
        finally:
            over = True
            watch.cancel()


class _GoneError(Exception):
    """The client has left."""


class _Received:
    """A body that is whole, and the connection behind it, which only tells that it has ended."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def receive(self) -> Message:
        """The body once; then nothing more comes."""
        if self._body is None:
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def until_gone(self) -> None:
        """Come back when the client leaves."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Answer:
    """What goes back: with the headers that every answer has."""

    def __init__(self, call: Call, send: Send) -> None:
        self.call, self._send, self._ended = call, send, False

    async def send(self, message: Message) -> None:
        """One message of the application."""
        if message["type"] == "http.response.start":
            self.call.status = message["status"]
            own = {name for name, _ in message["headers"]}
            added = [(b"x-request-id", self.call.id.encode()), *SAFE, *self.call.fields]
            message["headers"] = [*message["headers"], *(each for each in added if each[0] not in own)]
        self._ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Say no, where nothing has been said yet; a body that was not read ends the connection."""
        if self.call.status:
            if not self._ended:
                await self.send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        body = refusal.body(self.call.id)
        fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        fields += [(name.encode(), value.encode()) for name, value in refusal.fields().items()]
        if refusal.status_code in (400, 408, 413, 414, 431):
            fields.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": refusal.status_code, "headers": fields})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


def _too_large(most: int) -> Refusal:
    return Refusal(413, "body_too_large", f"a body has {most:,} bytes at most", hint="send less at once")


class JSONLines(logging.Formatter):
    """One line of JSON a record: no text of a client's can forge a line or steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {"time": self.formatTime(record), "level": record.levelname, "message": record.getMessage()}
        return json.dumps(told)
