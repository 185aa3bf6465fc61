"""Texts that arrive in pieces: as one text, whoever keeps the state, and never another's."""

import base64
import random
from typing import Any

import pytest
from torch import Tensor

from seqloom.api import Model
from seqloom.bundle import Bundle
from seqloom.errors import DataError
from seqloom.inference import Piece, begin, read_on
from seqloom.lens import surprises
from seqloom.serve import Address
from tests.serve.conftest import TEXTS, Client, Reply, Serve, tiny_models

STREAMING = ("one-way", "mean", "number", "play")
TOKENS = ("a" * 30, "b" * 30)


def opened(client: Client, model: str = "one-way", **headers: str) -> str:
    reply = client("POST", "/v1/sessions", {"model": model}, **headers)
    assert reply.status == 201, reply.body
    session: str = reply.json["id"]
    return session


def step(client: Client, session: str, seq: int, text: str, last: bool = False, **headers: str) -> Reply:
    return client("POST", f"/v1/sessions/{session}/step", {"input": text, "seq": seq, "last": last}, **headers)


def held(client: Client, model: str, text: str, state: str | None = None, last: bool = False) -> Reply:
    return client("POST", "/v1/step", {"model": model, "input": text, "state": state, "last": last})


def pieces_of(text: str, seed: int) -> list[str]:
    draw = random.Random(seed)
    cuts = sorted(draw.sample(range(len(text) + 1), 4))
    return [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


@pytest.mark.parametrize("model", ["one-way", "mean", "number"])
def test_the_answer_after_each_piece_is_that_to_all_so_far(client: Client, model: str) -> None:
    text, whole = "not good at all, i say.", Model(tiny_models()[model])
    session, state = opened(client, model), None
    for seq, word in enumerate(text.split(" "), start=1):
        last = word == "say."
        piece = word if last else f"{word} "
        found = step(client, session, seq, piece, last).json
        kept = held(client, model, piece, state, last).json
        state = kept["state"]
        [expected] = whole.predict([text if last else " ".join(text.split(" ")[:seq])])
        assert without(found, "id", "model", "seq", "tokens", "expires_at") == without(expected, "input")
        assert without(kept, "model", "state", "tokens") == without(expected, "input")
    assert found["tokens"] == kept["tokens"] == 8
    assert client("GET", f"/v1/sessions/{session}").json == {"id": session, "model": model, "seq": 6, "tokens": 8}


def test_a_language_model_tells_what_surprised_it_and_what_may_come(client: Client) -> None:
    text = "the film was\nnot good"
    whole = surprises(tiny_models()["play"], text)  # type: ignore[arg-type]
    for seed in range(3):
        session, tokens, bits = opened(client, "play"), [], []
        for seq, piece in enumerate(pieces := pieces_of(text, seed), start=1):
            found = step(client, session, seq, piece, seq == len(pieces)).json
            tokens += found["tokens"]
            bits += found["bits"]
        assert (tokens, bits) == (whole.tokens, whole.bits)
        assert [(each["token"], each["probability"]) for each in found["next"]] == whole.likeliest[-1]


@pytest.mark.parametrize("model", STREAMING)
def test_a_reading_holds_no_more_memory_than_it_counts(model: str) -> None:
    bundle = tiny_models()[model]
    assert isinstance(bundle, Bundle)
    [found] = read_on(bundle, [begin(bundle)], [Piece("the film was good " * 50)])
    assert not isinstance(found, DataError)
    paths = [path for layer in found[0].states.layers for path in layer]
    for each in (found[0].kept, *paths):
        assert isinstance(each, Tensor) and each.untyped_storage().nbytes() == each.nbytes


@pytest.mark.parametrize("model", STREAMING)
def test_many_at_once_in_any_pieces_are_never_mixed(client: Client, model: str) -> None:
    sessions = [opened(client, model) for _ in range(12)]
    cut = [pieces_of(TEXTS[at], seed=at) for at in range(12)]
    for seq in range(1, 6):
        bodies = [{"input": pieces[seq - 1], "seq": seq, "last": seq == 5} for pieces in cut]
        paths = [f"/v1/sessions/{session}/step" for session in sessions]
        found = client.run(*(client.send("POST", path, body) for path, body in zip(paths, bodies, strict=True)))
    for at, reply in enumerate(found):
        alone = held(client, model, TEXTS[at], last=True).json
        if model == "play":
            assert reply.json["next"] == alone["next"]
        else:
            assert without(reply.json, "id", "seq", "expires_at") == without(alone, "state")


def test_a_retry_gets_the_same_answer_and_reads_nothing(client: Client) -> None:
    session = opened(client)
    first = step(client, session, 1, "not ").json
    assert without(step(client, session, 1, "not ").json, "expires_at") == without(first, "expires_at")
    second = step(client, session, 2, "good ").json
    assert second["tokens"] == 2
    for seq, text, told in [(2, "bad ", "step 2 has read another piece"), (1, "not ", "the next step"), (4, "a", "3")]:
        reply = step(client, session, seq, text)
        assert (reply.status, reply.code) == (409, "wrong_seq")
        assert told in reply.json["error"]["message"]
    assert without(step(client, session, 2, "good ").json, "expires_at") == without(second, "expires_at")


def test_a_piece_that_cannot_be_read_changes_nothing(served: Serve) -> None:
    client = served(tokens=3)
    session = opened(client)
    step(client, session, 1, "not ")
    reply = step(client, session, 2, "a" * 5000)
    assert (reply.status, reply.code) == (422, "unreadable")
    reply = step(client, session, 2, "a b c d ")
    assert (reply.status, reply.code) == (422, "too_long")
    assert step(client, session, 2, "good ").json["tokens"] == 2


def test_an_ended_text_takes_nothing_more(client: Client) -> None:
    session = opened(client)
    step(client, session, 1, "not good", last=True)
    assert step(client, session, 2, "!").code == "session_ended"
    assert client("DELETE", f"/v1/sessions/{session}").status == 204
    assert step(client, session, 2, "!").code == "no_such_session"
    assert len(client.service.sessions) == client.service.sessions.bytes == 0


def test_two_steps_at_once_never_both_count(client: Client) -> None:
    session = opened(client)
    body = {"input": "not ", "seq": 1}
    replies = client.run(*(client.send("POST", f"/v1/sessions/{session}/step", body) for _ in range(5)))
    assert sorted({reply.status for reply in replies}) in ([200], [200, 409])
    assert {reply.code for reply in replies if reply.status == 409} <= {"session_busy"}
    assert step(client, session, 2, "good ").json["tokens"] == 2


def test_a_step_is_taken_even_where_the_client_leaves(client: Client) -> None:
    session = opened(client)
    path, body = f"/v1/sessions/{session}/step", {"input": "not ", "seq": 1}
    client.run(client.send("POST", path, body, gone=0.0))
    while True:
        reply = step(client, session, 1, "not ")
        if reply.status == 200:
            break
        assert reply.code == "session_busy"
    assert reply.json["tokens"] == 1
    assert step(client, session, 2, "good ").json["tokens"] == 2


def test_unused_sessions_end_and_used_ones_stay(client: Client) -> None:
    sessions, now = client.service.sessions, 0.0
    sessions._clock = lambda: now
    old, used = opened(client), opened(client)
    now = 800.0
    step(client, used, 1, "not ")
    now = 1000.0
    assert step(client, old, 1, "not ").code == "no_such_session"
    assert step(client, used, 2, "good ").status == 200
    assert (len(sessions), sessions.expired) == (1, 1)
    now = 5000.0
    assert b"seqloom_sessions 0.0" in client("GET", "/metrics").body
    assert sessions.bytes == 0


def test_sessions_and_their_memory_are_bounded(served: Serve) -> None:
    client = served(sessions=3)
    kept = [opened(client) for _ in range(3)]
    reply = client("POST", "/v1/sessions", {})
    assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "sessions_full", "1")
    client("DELETE", f"/v1/sessions/{kept[0]}")
    opened(client)
    client = served(session_bytes=5_000)
    session = opened(client, "mean")
    reply = step(client, session, 1, "good " * 200)
    assert (reply.status, reply.code) == (503, "sessions_full")
    assert step(client, session, 1, "good ").json["tokens"] == 1


def test_a_session_belongs_to_its_token(served: Serve) -> None:
    client = served(address=Address(tokens=TOKENS))
    mine, other = ({"authorization": f"Bearer {token}"} for token in TOKENS)
    session = opened(client, **mine)
    foreign = step(client, session, 1, "not ", **other)
    unknown = step(client, "x" * 22, 1, "not ", **other)
    assert foreign.json["error"] | {"request_id": ""} == unknown.json["error"] | {"request_id": ""}
    assert client("DELETE", f"/v1/sessions/{session}", **other).status == 404
    assert step(client, session, 1, "not ", **mine).status == 200


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("both-ways", "it reads from both sides, and the end of a text is not there yet"),
        ("answers", "a model of --task translate reads the whole text before it answers"),
        ("tags", "a model of --task tag reads the whole text"),
        ("sales", "this model reads numbers"),
    ],
)
def test_models_that_need_the_whole_say_so(client: Client, model: str, told: str) -> None:
    for reply in (client("POST", "/v1/sessions", {"model": model}), held(client, model, "not ")):
        assert reply.status == 409
        assert told in reply.json["error"]["message"]


def test_before_the_first_word_there_is_no_answer(client: Client) -> None:
    found = held(client, "one-way", "no").json
    assert (found["prediction"], found["tokens"]) == (None, 0)
    assert held(client, "one-way", "", found["state"], last=True).json["tokens"] == 1
    assert held(client, "one-way", "", last=True).json["prediction"] is None


def test_a_state_that_was_changed_is_refused(client: Client, served: Serve) -> None:
    state = held(client, "one-way", "not ").json["state"]
    data = base64.urlsafe_b64decode(state)
    draw = random.Random(1)
    changed = [data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :] for at in range(len(data))]
    forged = [base64.urlsafe_b64encode(each).decode() for each in draw.sample(changed, 150)]
    for state_given in [*forged, "", "AAAA", "é", state[:-4], state + "AAAA", "not base64!"]:
        reply = held(client, "one-way", "good ", state_given)
        assert (reply.status, reply.code) == (422, "bad_state")
    assert held(client, "mean", "good ", state).json["error"]["message"].endswith("it is of another model")
    assert held(served(), "one-way", "good ", state).status == 200  # a server with the same key
    other = served()
    other.service.key = b"another key, thirty-two bytes...."
    assert held(other, "one-way", "good ", state).code == "bad_state"


def test_a_state_can_be_gone_on_with_twice(client: Client) -> None:
    state = held(client, "one-way", "not ").json["state"]
    good, bad = (held(client, "one-way", word, state, last=True).json for word in ("good", "bad"))
    assert good["probabilities"] != bad["probabilities"]
    assert without(good, "state") == without(held(client, "one-way", "not good", last=True).json, "state")
