"""The process: listens, serves, and on SIGTERM answers what it has begun before it ends."""

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from seqloom.errors import Interrupted, SeqloomError
from seqloom.serve.app import build
from seqloom.serve.guard import JSONLines
from seqloom.serve.protocol import protocol
from seqloom.serve.service import Service

BACKLOG = 128  # connections that the system may hold back: more would only wait


def serve(service: Service, *, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGTERM, after which what was begun is answered, or Ctrl-C.

    `ready` is told the address once it listens. Raises SeqloomError where it cannot listen, Interrupted on Ctrl-C.
    """
    _log_to_stderr()
    address, limits = service.address, service.limits
    listening = listen(address.host, address.port)
    config = uvicorn.Config(
        build(service),
        http=protocol(service),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=max(1, round(limits.header_seconds)),
        timeout_graceful_shutdown=max(1, round(limits.drain_seconds)),
    )
    host = f"[{address.host}]" if ":" in address.host else address.host
    server = _Server(config, service, ready=lambda: ready(f"http://{host}:{listening.getsockname()[1]}/"))
    service.start()
    try:
        server.run(sockets=[listening])
    finally:
        service.stop()
        listening.close()
    if signal.SIGINT in server.signals:
        raise Interrupted("the server was stopped; all answers that were begun have been sent")


class _Server(uvicorn.Server):
    """uvicorn's, ended by signals as we promise: the first drains, the second ends at once."""

    def __init__(self, config: uvicorn.Config, service: Service, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._ready = service, ready
        self.signals: list[int] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Our own handlers while it serves; afterwards the old ones, and no signal raised again."""
        before = {number: signal.signal(number, self._told) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _told(self, number: int, frame: FrameType | None) -> None:
        if self.signals:
            os._exit(130 if number == signal.SIGINT else 143)
        self.signals.append(number)
        self._service.draining = True
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SeqloomError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, so that asyncio sends at once: else a body waits 40 ms for the client to acknowledge its header.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SeqloomError(
            f"cannot listen on {host}, port {port}: {error.strerror}. Choose another with --port, 0 for any free one."
        ) from None
    return listening


def _log_to_stderr() -> None:
    """Lines of JSON on stderr; where that is full or gone the server goes on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONLines())
    logging.raiseExceptions = False
    for name in ("seqloom.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.ERROR)  # uvicorn warns of each malformed request: whoever sends many would fill a disk
