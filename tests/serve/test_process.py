"""The server as a process: it outlasts slow clients, answers what it has begun, and ends as it was asked to."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from seqloom.serve.server import listen
from tests.cli.conftest import command

LIMITS = (
    "header_seconds=0.6",
    "body_seconds=0.9",
    "body_parts=200",
    "connections=20",
    "drain_seconds=20",
    "requests=8",
)


class Server:
    """A child process, once it listens."""

    def __init__(self, folder: Path) -> None:
        words = ["serve", folder, "--port", 0, *(word for limit in LIMITS for word in ("--limit", limit))]
        self.child = subprocess.Popen(
            command(*words), stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        assert self.child.stderr is not None
        self.stderr: IO[bytes] = self.child.stderr
        line = self.stderr.readline().decode()
        found = re.fullmatch(r"serving one-way \(classify\) at http://127\.0\.0\.1:(\d+)/\n", line)
        assert found, line + self.stderr.read().decode()
        self.port = int(found[1])

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(sent)
        return connection

    def ask(self, sent: bytes) -> bytes:
        """All that is answered before the connection ends; nothing where it is cut."""
        with self.connect() as connection:
            with contextlib.suppress(OSError):  # it may be ended before all is sent
                connection.sendall(sent)
            return read_all(connection)

    def end(self, number: int) -> tuple[int, str]:
        self.child.send_signal(number)
        _, err = self.child.communicate(timeout=30)
        return self.child.returncode, err.decode()


def read_all(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            found += data
    return found


def read_answer(connection: socket.socket) -> bytes:
    """One answer, where more may follow."""
    found = b""
    while not found.endswith(b"}"):
        found += connection.recv(65536)
    return found


def request(
    body: bytes = b'{"inputs": ["not good"]}', more: bytes = b"connection: close\r\n", length: int = -1
) -> bytes:
    size = len(body) if length < 0 else length
    head = b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n" % size + more + b"\r\n" + body


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    running = Server(folder)
    yield running
    if running.child.poll() is None:
        running.child.kill()
    running.child.communicate()


CHUNKED = (
    b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (request(), b"200 OK"),
        (b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n", b"200 OK"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 200_000 + b"\r\n\r\n", b"400 Bad Request"),
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET /\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n", b"400 Bad Request"),
        (request(more=b"transfer-encoding: chunked\r\n"), b"400 Bad Request"),
        (request(length=1 << 40), b"413"),
        (CHUNKED + b"1\r\n \r\n" * 1000 + b"0\r\n\r\n", b"40"),
        (CHUNKED + b"zz\r\n", b"400 Bad Request"),
        (
            b"POST /v1/predict HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            b"403",
        ),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", b"404"),
    ],
    ids=range(13),
)
def test_whatever_is_sent_is_answered_or_ended(server: Server, sent: bytes, answer: bytes) -> None:
    assert server.ask(sent).startswith(b"HTTP/1.1 " + answer)


def test_what_is_broken_after_a_refusal_ends_the_connection(server: Server) -> None:
    with server.connect(CHUNKED.replace(b"localhost", b"evil.example").replace(b"connection: close\r\n", b"")) as ended:
        assert read_answer(ended).startswith(b"HTTP/1.1 403")
        ended.sendall(b"zz\r\n")  # that nothing is logged is asserted where the server ends
        assert read_all(ended) in (b"", b"}")


def test_one_connection_serves_many_requests(server: Server) -> None:
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(request(more=b""))
            assert read_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(request(more=b"") + request())  # the second before the first is answered
        assert read_all(connection).count(b"HTTP/1.1 200") == 2


SLOW = {"nothing": b"", "half a header": b"POST / HTTP/1.1\r\nhost: loc", "half a body": request(b"{", length=100)}


def test_slow_clients_are_ended_in_time_and_disturb_nobody(server: Server) -> None:
    started = time.monotonic()
    slow = {what: server.connect(sent) for what, sent in SLOW.items()}
    trickled = server.connect(b"POST / HTTP/1.1\r\n")
    trickled.settimeout(0.05)
    ended = False
    while not ended and time.monotonic() - started < 15:
        assert server.ask(request()).startswith(b"HTTP/1.1 200")
        try:
            trickled.sendall(b"x")  # a byte now and then moves no deadline
            ended = trickled.recv(1) == b""
        except TimeoutError:
            continue
        except OSError:
            ended = True
    assert ended
    for connection in slow.values():
        connection.settimeout(10)
        assert not read_all(connection).startswith(b"HTTP/1.1 200")
        connection.close()
    trickled.close()


def test_too_many_connections_are_told_to_come_again(server: Server) -> None:
    opened = [server.connect() for _ in range(20)]
    answer = server.ask(request())
    assert answer.startswith(b"HTTP/1.1 503") and b"\r\nretry-after: 1\r\n" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_many_connections"
    for connection in opened:
        connection.close()
    deadline = time.monotonic() + 10
    while not server.ask(request()).startswith(b"HTTP/1.1 200"):
        assert time.monotonic() < deadline


def test_an_overload_is_refused_at_once_and_the_connection_stays(server: Server) -> None:
    begun = [server.connect(request()[:-10]) for _ in range(8)]
    refused = 0
    with server.connect() as connection:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:  # until the eight have been ended, and all is calm
            connection.sendall(request(more=b""))
            answer = read_answer(connection)
            if answer.startswith(b"HTTP/1.1 200"):
                break
            assert answer.startswith(b"HTTP/1.1 429") and b"\r\nretry-after: 1\r\n" in answer
            refused += 1
    assert refused and answer.startswith(b"HTTP/1.1 200")
    for slow in begun:
        slow.close()


def test_sigterm_answers_what_was_begun_and_takes_nothing_new(server: Server) -> None:
    begun = [server.connect(request()[:-10]) for _ in range(5)]
    idle = server.connect()
    assert server.ask(request()).startswith(b"HTTP/1.1 200")  # they have all been taken
    server.child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:  # until nothing new is taken
        try:
            server.connect().close()
        except OSError:
            break
    for connection in begun:
        with contextlib.suppress(OSError):
            connection.sendall(request()[-10:])
    answers = [read_all(connection) for connection in begun]
    assert read_all(idle) == b""
    for connection in (*begun, idle):
        connection.close()
    _, err = server.child.communicate(timeout=30)
    assert (server.child.returncode, err) == (0, b"")
    # Those whose time for the body was up on a busy machine were told so, or ended; all others were answered.
    assert all(answer == b"" or answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 408")) for answer in answers), answers


def test_ctrl_c_ends_it_as_interrupted(folder: Path) -> None:
    code, err = Server(folder).end(signal.SIGINT)
    assert (code, err) == (130, "interrupted: the server was stopped; all answers that were begun have been sent\n")


def test_an_answer_is_sent_at_once() -> None:
    """asyncio lets a body wait for the acknowledgement of its header where a socket is not named as TCP."""

    async def option() -> int:
        found = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                found.set_result(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        listening = listen("127.0.0.1", 0)
        server = await asyncio.get_running_loop().create_server(Protocol, sock=listening)
        _, writer = await asyncio.open_connection(*listening.getsockname())
        without_delay: int = await found
        writer.close()
        server.close()
        return without_delay

    assert asyncio.run(option()) == 1
