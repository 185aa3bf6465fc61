"""What only shows after many: sessions under cancels, retries and expiry, and requests that nobody would write."""

import asyncio
import json
import random
from typing import Any

import pytest

from seqloom.data import reviews
from tests.serve.conftest import Client, Serve

pytestmark = pytest.mark.long

SESSIONS, AT_ONCE = 10_000, 64
STREAMING = ("one-way", "mean", "number", "play")
WITHOUT = ("id", "model", "seq", "expires_at", "state")


class Clock:
    """Time that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def said(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in WITHOUT}


def pieces_of(text: str, draw: random.Random) -> list[str]:
    cuts = sorted(draw.randrange(len(text) + 1) for _ in range(draw.randrange(5)))
    return [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]


async def live(client: Client, clock: Clock, number: int, replay: Client) -> str:
    """One session from its opening to its end, with all that can befall it; says how it ended."""
    draw = random.Random(number)
    model, text = STREAMING[number % len(STREAMING)], TEXTS[number % len(TEXTS)]
    session = (await client.send("POST", "/v1/sessions", {"model": model})).json["id"]
    path, pieces, state = f"/v1/sessions/{session}/step", pieces_of(text, draw), None
    for seq, piece in enumerate(pieces, start=1):
        body = {"input": piece, "seq": seq, "last": seq == len(pieces)}
        while True:
            gone = draw.uniform(0, 0.003) if draw.random() < 0.2 else None
            reply = await client.send("POST", path, body, gone=gone)
            if reply.status == 404:
                return "expired"
            if reply.status == 200 and draw.random() > 0.1:  # now and then a retry of what was answered
                break
            assert reply.status in (0, 200, 409), reply.body
            await asyncio.sleep(0.05)  # busy with the step whose client left; to ask at once again would only delay it
        alone = await replay.send("POST", "/v1/step", {"model": model, "state": state} | without_seq(body))
        state = alone.json["state"]
        assert said(reply.json) == said(alone.json)
        if draw.random() < 0.02:
            deleted = await client.send("DELETE", path.removesuffix("/step"))
            assert deleted.status in (204, 404)  # it may have ended just before
            assert (await client.send("POST", path, body)).status == 404
            return "deleted" if deleted.status == 204 else "expired"
        if draw.random() < 0.001:
            clock.now += 1000  # every session that is not busy just now has ended
        await asyncio.sleep(0)
    return "whole"


def without_seq(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "seq"}


TEXTS = [text for text, _ in reviews(997, seed=9)]


def test_ten_thousand_sessions_are_never_mixed(served: Serve) -> None:
    """Each answer equals that of a replay alone, whose state another server's client keeps."""
    client, replay, clock = served(), served(), Clock()
    client.service.sessions._clock = clock
    left = iter(range(SESSIONS))

    async def worker() -> list[str]:
        return [await live(client, clock, number, replay) for number in left]

    ends = [end for part in client.run(*(worker() for _ in range(AT_ONCE))) for end in part]
    assert len(ends) == SESSIONS
    assert ends.count("whole") > 0.8 * SESSIONS and ends.count("deleted") > 100 and ends.count("expired") > 20
    clock.now += 1000
    client("GET", "/metrics")
    assert len(client.service.sessions) == client.service.sessions.bytes == client.service.open == 0


GOOD: dict[str, Any] = {
    "/v1/predict": {"inputs": ["not good", ["a", "b"], [1, None, 2.5]], "model": "one-way", "top_k": 2},
    "/v1/generate": {"input": "the film", "model": "play", "temperature": 0.5, "max_output": 2, "stream": False},
    "/v1/look": {"input": "the film", "model": "play"},
    "/v1/sessions": {"model": "one-way"},
    "/v1/step": {"model": "one-way", "input": "not ", "state": None, "last": False},
    "/v1/sessions/none/step": {"input": "not ", "seq": 1, "last": False},
}
ODD: list[Any] = [
    None, True, -1, 0, 1e308, 10**30, "", " ", "\0", "\ud800", "é" * 300, "<img src=x onerror=alert(1)>", [], [[]], {},
    {"a": 1}, [None], [[None]], ["a", 1], [1, "a"], "one-way", "sales", "../../etc/passwd", "AAAA" * 50, [1.5] * 50,
]  # fmt: skip


def spoiled(draw: random.Random, body: dict[str, Any]) -> bytes:
    """A body with a value, a key or some of its bytes changed."""
    body = dict(body)
    for _ in range(draw.randrange(1, 3)):
        body[draw.choice([*body, "extra"])] = draw.choice(ODD)
    data = bytearray(json.dumps(body).encode())
    if draw.random() < 0.6:
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(data))
            data[at : at + draw.randrange(3)] = draw.choice(
                [b"", b"\xff", b'"', b"[", b"}", b",", b"\\u", b"NaN", b"1e999"]
            )
    return bytes(data)


def test_ten_thousand_malformed_requests_end_in_no_500(client: Client) -> None:
    draw, statuses = random.Random(5), set()
    paths = list(GOOD)
    for _ in range(100):
        calls = []
        for _ in range(100):
            path = draw.choice(paths)
            fields = {}
            if draw.random() < 0.2:
                name = draw.choice(["host", "origin", "content_type", "content_length", "x_timeout_ms", "x_request_id"])
                fields[name] = draw.choice(["", "x", "-1", "999999999999", "null", "é", "a" * 5000, "localhost", "0"])
            method = draw.choice(["POST"] * 9 + ["GET", "PUT", "BREW"])
            calls.append(client.send(method, path, spoiled(draw, GOOD[path]), **fields))
        for reply in client.run(*calls):
            statuses.add(reply.status)
            assert reply.status != 500, reply.body
            if reply.status >= 400:
                assert set(reply.json["error"]) <= {"code", "message", "field", "hint", "request_id"}
    assert {200, 400, 404, 405, 413, 415, 422} <= statuses
    assert client("POST", "/v1/predict", {"inputs": ["not good"]}).status == 200
    assert client.service.open == 0 and client.service.ready()
