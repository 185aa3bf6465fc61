"""The door: what is refused, with which words, and that nothing a client sends ends in a 500."""

import asyncio
import json
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest

from seqloom.errors import ConfigError
from seqloom.serve import Address, Limits
from seqloom.serve.guard import Guard, JSONLines
from seqloom.serve.limits import limits_of
from seqloom.serve.protocol import _is_whole
from seqloom.serve.refusal import Refusal
from seqloom.serve.requests import read_json
from tests.serve.conftest import TEXTS, Client, Serve

ASK = {"inputs": ["not good at all"], "model": "one-way"}
TOKEN = "t" * 32
OTHER = "u" * 32


# Bodies


@pytest.mark.parametrize(
    ("body", "status", "code", "told"),
    [
        (b"", 422, "not_as_described", "body: Field required"),
        (b"{", 400, "bad_json", "not valid JSON"),
        (b'{"inputs": ["\xff"]}', 400, "bad_json", "no text in UTF-8"),
        (b'{"inputs": ["\\ud800"]}', 400, "bad_json", "no text in UTF-8"),
        (b'{"inputs": [NaN]}', 400, "bad_json", "NaN"),
        (b'{"inputs": [1e999]}', 400, "bad_json", "not a finite number"),
        (b'{"inputs": ["a"], "inputs": ["b"]}', 400, "bad_json", "twice"),
        (b'{"inputs": [' + b"1" * 5000 + b"]}", 400, "bad_json", "digits"),
        (b"[" * 40 + b"]" * 40, 400, "bad_json", "32 deep"),
        (b"[" * 100_000, 400, "bad_json", "32 deep"),
        (b'{"inputs": [' + b"[]," * 60_000 + b"[]]}", 400, "too_much_json", "100,000 values"),
        (b'"just a text"', 422, "not_as_described", "body"),
        ({"inputs": []}, 422, "not_as_described", "inputs: List should have at least 1 item"),
        ({"inputs": "a"}, 422, "not_as_described", "inputs: Input should be a valid list"),
        ({"inputs": ["a", {"b": 1}]}, 422, "not_as_described", "inputs[1]: an input is a text"),
        ({"inputs": [[1, True]]}, 422, "not_as_described", "inputs[0]"),
        ({"inputs": [["a", 1]]}, 422, "not_as_described", "inputs[0]"),
        ({"inputs": ["a"], "modle": "m"}, 422, "not_as_described", "modle: Extra inputs are not permitted"),
        ({"inputs": ["a"], "top_k": "3"}, 422, "not_as_described", "top_k: Input should be a valid integer"),
        ({"inputs": ["a"], "top_k": 0}, 422, "not_as_described", "top_k"),
        ({"inputs": ["a"], "model": "modle"}, 404, "no_such_model", "there is no model of that name"),
        ({"inputs": ["a"] * 257}, 422, "too_many_inputs", "257 inputs, at most 256"),
        ({"inputs": ["a"] * 5000}, 422, "not_as_described", "at most 4096 items"),
        ({"inputs": ["a", "b" * 100_001]}, 422, "input_too_long", "inputs[1]: 100,001 characters"),
        ({"inputs": [[1] * 100_001]}, 400, "too_much_json", "100,000 values"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_cannot_be_used_is_refused(client: Client, body: Any, status: int, code: str, told: str) -> None:
    reply = client("POST", "/v1/predict", body)
    assert (reply.status, reply.code) == (status, code)
    error = reply.json["error"]
    assert told in error["message"]
    assert error["request_id"] == reply.headers["x-request-id"]
    assert client("POST", "/v1/predict", ASK).status == 200


def test_commas_and_brackets_in_texts_are_no_values() -> None:
    text = ",[{" * 1000 + '\\"'
    assert read_json(json.dumps([text, text]).encode(), most=100) == [text, text]
    with pytest.raises(Refusal, match="100 values"):
        read_json(json.dumps([text, *range(100)]).encode(), most=100)


def test_a_text_without_an_end_is_looked_through_once() -> None:
    endless = b'"' + b'\\"' * 300_000
    with pytest.raises(Refusal, match="Unterminated string"):
        read_json(b"[" + endless + b",[{" * 100, most=100)
    with pytest.raises(Refusal, match="100 values"):
        read_json(b"," * 101 + endless, most=100)  # hours, were each quote a beginning


@pytest.mark.parametrize("declared", ["1048577", "9" * 30, "-1", "x", "1e3"])
def test_a_body_said_to_be_too_large_is_not_read(client: Client, declared: str) -> None:
    reply = client("POST", "/v1/predict", ASK, content_length=declared)
    assert (reply.status, reply.code, reply.headers["connection"]) == (413, "body_too_large", "close")


def test_a_body_that_turns_out_too_large_is_not_read_on(served: Serve) -> None:
    client = served(body_bytes=1000, body_parts=50)
    headers = Client.headers({"content_length": "", "transfer_encoding": "chunked"}, b"")
    for parts in ([b"x" * 600] * 1000, [b" "] * 1000):
        [reply] = client.run(client.raw(parts, headers=headers))
        assert (reply.status, reply.code) == (413, "body_too_large")
    data = json.dumps(ASK).encode()
    [reply] = client.run(client.raw([data[:9], data[9:]], headers=headers))
    assert reply.status == 200


def test_a_body_that_does_not_come_is_not_waited_for(served: Serve) -> None:
    client = served(body_seconds=0.02)

    async def never() -> int:
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"", "state": {}}
        await client.app(scope | {"headers": Client.headers({}, b"x")}, receive, send)
        status: int = sent[0]["status"]
        return status

    assert client.run(never()) == [408]


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
def test_only_json_is_read(client: Client, kind: str) -> None:
    assert client("POST", "/v1/predict", ASK, content_type=kind).status == 415
    assert client("POST", "/v1/predict", ASK, content_type="application/json; charset=utf-8").status == 200


# Who


@pytest.mark.parametrize(
    ("address", "host", "knows"),
    [
        (Address(), "127.0.0.1:8000", True),
        (Address(), "localhost:8000", True),
        (Address(), "LOCALHOST", True),
        (Address(), "[::1]:8000", True),
        (Address(), "evil.example", False),
        (Address(), "evil.example:8000", False),
        (Address(), "localhost.evil.example", False),
        (Address(), "10.0.0.1", False),
        (Address(), "", False),
        (Address(names=("models.lan",)), "models.lan:80", True),
        (Address(names=("Models.Lan",)), "models.LAN", True),
        (Address("FD00::A"), "[fd00::a]:8000", True),
        (Address("10.0.0.1"), "10.0.0.1:8000", True),
        (Address("0.0.0.0"), "10.0.0.1:8000", True),
        (Address("0.0.0.0"), "evil.example", False),
        (Address("::"), "[2001:db8::1]:8000", True),
    ],
)
def test_only_names_of_the_server_are_answered(address: Address, host: str, knows: bool) -> None:
    assert address.knows(host) is knows


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("", 200),
        ("http://127.0.0.1:8000", 200),
        ("http://127.0.0.1:8001", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:8000.evil.example", 403),
    ],
)
def test_pages_of_other_sites_are_not_answered(client: Client, origin: str, status: int) -> None:
    assert client("POST", "/v1/predict", ASK, origin=origin).status == status
    assert client("POST", "/v1/predict", ASK, host="evil.example").code == "unknown_host"
    assert "access-control-allow-origin" not in client("GET", "/", origin=origin).headers


@pytest.mark.parametrize(
    "given", ["", "Bearer", f"Basic {TOKEN}", "Bearer x", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer é"]
)
def test_who_has_no_token_gets_nothing_but_the_page(served: Serve, given: str) -> None:
    client = served(address=Address(tokens=(TOKEN, OTHER)))
    for method, path in [("POST", "/v1/predict"), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/nothing")]:
        reply = client(method, path, ASK, authorization=given.encode("latin-1", "replace").decode("latin-1"))
        assert (reply.status, reply.code) == (401, "no_token")
        assert TOKEN not in reply.body.decode()
    assert client("POST", f"/v1/predict?token={TOKEN}", ASK).status == 401
    for path in ("/", "/docs", "/openapi.json", "/page/app.js", "/health/live", "/health/ready"):
        assert client("GET", path).status == 200
    for token in (TOKEN, OTHER):
        assert client("POST", "/v1/predict", ASK, authorization=f"Bearer {token}").status == 200


def test_only_a_token_opens_other_addresses() -> None:
    Address().check()
    Address("::1").check()
    Address("0.0.0.0", tokens=(TOKEN,)).check()
    Address("0.0.0.0").check(insecure=True)
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 can be reached from other machines: give a --token-file"):
        Address("0.0.0.0").check()
    with pytest.raises(ConfigError, match="22 ASCII characters or more"):
        Address(tokens=("short",)).check()


# How much, how long


def test_long_paths_and_many_headers_are_refused(client: Client) -> None:
    assert client("GET", "/" + "a" * 5000).code == "url_too_long"
    assert client("GET", "/?" + "a" * 5000).code == "url_too_long"
    assert client("GET", "/", **{f"x-{number}": "a" for number in range(100)}).code == "too_many_headers"


def test_more_requests_than_are_answered_at_once_are_refused(served: Serve) -> None:
    client = served(requests=2, requests_overloaded=2)
    replies = client.run(*(client.send("POST", "/v1/predict", ASK) for _ in range(5)))
    assert sorted(reply.status for reply in replies) == [200, 200, 429, 429, 429]
    refused = [reply for reply in replies if reply.status == 429]
    assert {(reply.code, reply.headers["retry-after"]) for reply in refused} == {("busy", "1")}
    assert client.service.open == 0


def test_an_overload_lets_few_in_until_it_is_over(served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("seqloom.serve.service.time.monotonic", lambda: now)
    service = served(requests=8, requests_overloaded=3).service
    asked = [(7, 0.0, False), (8, 0.1, True), (7, 0.2, True), (3, 0.9, True), (2, 1.0, False), (3, 1.8, True)]
    for service.open, at, full in [*asked, (7, 2.9, False)]:
        now = at
        assert service.full() is full
    service.open = 0


@pytest.mark.parametrize(
    ("sent", "whole"),
    [
        (b"POST /v1/predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}", True),
        (b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}", True),
        (b"POST /v1/predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{", False),
        (b"POST /v1/predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}POST", False),
        (b"POST /v1/predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}", False),
        (b"POST /v1/predict HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}", False),
        (b"GET /health/live HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", False),
        (b"POST /v1/predict HTTP/1.1\r\nhost: a\r\n", False),
        (b"", False),
    ],
)
def test_only_what_is_a_whole_request_is_refused_unparsed(sent: bytes, whole: bool) -> None:
    assert _is_whole(sent) is whole


def test_health_answers_however_busy_the_server_is(served: Serve) -> None:
    client = served(requests=1, requests_overloaded=1)
    calls = [client.send("POST", "/v1/predict", ASK), client.send("GET", "/health/live")]
    assert [reply.status for reply in client.run(*calls, client.send("GET", "/health/ready"))] == [200, 200, 200]


def test_a_request_whose_time_is_up_is_told_so(served: Serve) -> None:
    client = served()
    body = {"model": "play", "input": "a", "max_output": 1000}
    reply = client("POST", "/v1/generate", body, x_timeout_ms="1")
    assert (reply.status, reply.code) == (504, "too_slow")
    assert client("POST", "/v1/generate", body | {"max_output": 1}, x_timeout_ms="60000").status == 200
    assert client("GET", "/v1/models", x_timeout_ms="soon").status == 400


def test_who_leaves_is_not_waited_for(client: Client) -> None:
    body = {"model": "play", "input": "a", "max_output": 1000}
    [reply, other] = client.run(
        client.send("POST", "/v1/generate", body, gone=0.001), client.send("POST", "/v1/predict", ASK)
    )
    assert (reply.status, other.status) == (0, 200)
    assert client.service.open == 0
    assert b'code="client_gone"' in client("GET", "/metrics").body


def test_a_bug_is_told_to_us_and_not_to_the_client(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("secret of /root\n\x1b[31m")

    monkeypatch.setattr("seqloom.serve.computing.answer_rows", broken)
    reply = client("POST", "/v1/predict", ASK, x_request_id="mine-1")
    assert (reply.status, reply.code) == (500, "internal")
    assert "secret" not in reply.body.decode() and "Zero" not in reply.body.decode()
    [record] = [record for record in caplog.records if record.name == "seqloom.serve"]
    line = JSONLines().format(record)
    assert "mine-1" in line and "ZeroDivisionError" in line
    assert "\n" not in line and "\x1b" not in line
    assert b'seqloom_errors_total{code="internal"} 1.0' in client("GET", "/metrics").body


def test_a_server_that_drains_or_is_stuck_is_not_ready(client: Client) -> None:
    assert client("GET", "/health/ready").json == {"status": "ok"}
    client.service.draining = True
    assert (client("GET", "/health/ready").status, client("GET", "/health/live").status) == (503, 200)
    client.service.draining = False
    client.service.quick.stop()
    assert client("GET", "/readyz").json == {"status": "stuck"}


def test_request_ids_are_echoed_where_they_are_plain(client: Client) -> None:
    assert client("GET", "/health", x_request_id="a-b.C_1").headers["x-request-id"] == "a-b.C_1"
    for odd in ("a b", "a" * 65, "<script>", ""):
        assert re.fullmatch("[0-9a-f]{16}", client("GET", "/health", x_request_id=odd).headers["x-request-id"])


def test_limits_are_named_and_checked() -> None:
    assert limits_of(["tokens=5", "drain_seconds=0.5"]) == Limits(tokens=5, drain_seconds=0.5)
    for given, told in [
        ("tokens", "write it as name=number"),
        ("tokns=5", 'there is no limit "tokns": did you mean "tokens"?'),
        ("tokens=many", "tokens: Input should be a valid integer"),
        ("tokens=0", "greater than or equal to 1"),
        ("drain_seconds=nan", "finite number"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(told)):
            limits_of([given])


# What there is to see


def test_pages_are_our_own_files_and_nothing_else(client: Client) -> None:
    for path, kind in [("/", "text/html"), ("/docs", "text/html"), ("/page/app.js", "text/javascript")]:
        reply = client("GET", path)
        assert (reply.status, reply.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert "default-src 'none'; script-src 'self'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        text = reply.body.decode()
        unsafe = r"https?://|<script(?! src=\"/page/)|<style|\son\w+=|innerHTML|eval\(|document\.write"
        assert not re.search(unsafe, text)
    for name in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "app.py", "", "nothing.js", "index.html/", "a/b", "\0"):
        reply = client("GET", f"/page/{name}")
        assert reply.status == 404
    assert client("GET", "/page/app.js", range="bytes=0-1").status == 200
    assert client("POST", "/").code == "wrong_method"


def test_openapi_describes_every_operation(client: Client) -> None:
    described = client("GET", "/openapi.json").json
    posts = {path for path, methods in described["paths"].items() if "post" in methods}
    assert posts == {
        "/v1/predict", "/v1/generate", "/v1/look", "/v1/sessions", "/v1/sessions/{id}/step", "/v1/step",
    }  # fmt: skip
    assert {"/v1/models", "/health/ready", "/metrics"} <= set(described["paths"])
    fields = described["components"]["schemas"]["PredictBody"]["properties"]
    assert {"inputs", "model", "top_k", "suggest"} == set(fields)
    assert "anyOf" in fields["inputs"]["items"]


def test_models_are_described(client: Client) -> None:
    cards = {card["name"]: card for card in client("GET", "/v1/models").json["models"]}
    assert (cards["one-way"]["streams"], cards["both-ways"]["streams"], cards["tags"]["looks"]) == (True, False, True)
    assert cards["one-way"]["labels"] == ["good", "bad", "neither"]
    assert len({card["checksum"] for card in cards.values()}) == len(cards)
    assert client("GET", "/v1/models/one-way").json == cards["one-way"]
    assert client("GET", "/v1/models/two").status == 404


def test_metrics_have_no_label_that_a_client_chose(client: Client) -> None:
    def lines() -> set[str]:
        return {line.rpartition(" ")[0] for line in client("GET", "/metrics").body.decode().splitlines()}

    client("GET", "/nothing")
    client("BREW", "/v1/predict")
    client("POST", "/v1/predict", {"inputs": ["a"], "model": "x"})
    before = lines()
    for number in range(30):
        client("GET", f"/nothing/{number}")
        client(f"BREW{number}", "/v1/predict")
        client("POST", "/v1/predict", {"inputs": [f"a {number}"], "model": f"x{number}"})
    assert {line for line in lines() - before if TEXTS} <= {
        line for line in lines() if "metrics" in line or "process_" in line
    }
    assert any("seqloom_model_info" in line and 'model="one-way"' in line for line in before)


def test_a_client_that_leaves_as_its_answer_ends_leaves_no_trace_in_the_log() -> None:
    """What tells of its leaving is on its way already, and comes when nothing waits any more."""
    told: list[dict[str, Any]] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)

    async def leaves() -> None:
        """At once: in the turn of the loop in which the answer ends."""

    async def one() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        guard: Any = Guard.__new__(Guard)
        guard._app = answer
        call = SimpleNamespace(deadline=time.monotonic() + 9)
        await guard._run({}, call, SimpleNamespace(until_gone=leaves, receive=None), SimpleNamespace(send=None))
        await asyncio.sleep(0.01)

    asyncio.run(one())
    assert told == []
