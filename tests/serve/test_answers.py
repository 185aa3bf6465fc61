"""The API answers as the library does, to the bit, whatever else is asked for at the same time."""

import json
from typing import Any

import pytest

from seqloom.api import Model
from seqloom.bundle import Bundle
from seqloom.config import DataSettings
from seqloom.lens import attention_map, surprises, tag_table
from seqloom.serve.hosted import Hosted, warm
from tests.serve.conftest import TEXTS, Client, Serve, numbers_bundle, tiny_models

TEXT_MODELS = ("one-way", "both-ways", "mean", "number", "play", "answers", "tags")
SERIES = [[1.0, 2, 3, 4, 5], [2.5, None, 3.5, 1.0, 7.0, 2.0]]


def bundle(name: str) -> Bundle:
    found = tiny_models()[name]
    assert isinstance(found, Bundle)
    return found


def predicted(client: Client, model: str, inputs: list[Any], **more: Any) -> list[Any]:
    reply = client("POST", "/v1/predict", {"model": model, "inputs": inputs, **more})
    assert reply.status == 200, reply.body
    found: list[Any] = reply.json["predictions"]
    return found


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_predictions_are_those_of_the_library(client: Client, name: str) -> None:
    assert predicted(client, name, TEXTS[:5]) == Model(bundle(name)).predict(TEXTS[:5])


def test_series_are_forecast(client: Client) -> None:
    model = Model(tiny_models()["sales"])
    expected = model.predict({"1": SERIES[0], "2": SERIES[1]})
    assert predicted(client, "sales", SERIES) == expected
    assert predicted(client, "sales", [SERIES[0], [None], SERIES[1], "text", [1.0]])[2] == expected[1] | {"series": "3"}


def test_an_input_that_cannot_be_read_keeps_its_place(client: Client) -> None:
    found = predicted(client, "one-way", [TEXTS[0], " ", ["a", "b"], TEXTS[1]])
    assert [each.get("error", {}).get("code") for each in found] == [None, "unreadable", "unreadable", None]
    assert found[1]["error"]["message"] == "empty text"
    assert "line" not in found[2]["error"]["message"]
    found = predicted(client, "sales", [[None], "text", [10**400]])
    assert [each["error"]["code"] for each in found] == ["unreadable"] * 3
    assert predicted(client, "play", ["a", ["b"]])[1]["error"]["code"] == "unreadable"


def test_series_of_numbers_are_read_as_far_as_the_model_reads_them(served: Serve) -> None:
    numbers = numbers_bundle()
    inputs = [[1.0, 2, 3], [1.0, 2, 3, 4, 5], [[10**400]]]
    client = served(tokens=4)
    client.service.models["cut"] = warm("cut", numbers)
    cut = predicted(client, "cut", inputs)
    assert cut[0]["probabilities"] == cut[1]["probabilities"] == Model(numbers).predict(inputs)[1]["probabilities"]
    assert cut[2]["error"] == {"code": "unreadable", "message": "not an array of numbers"}
    whole = numbers._replace(config=numbers.config.model_copy(update={"data": DataSettings()}))
    client.service.models["whole"] = warm("whole", whole)
    found = predicted(client, "whole", inputs)
    assert "prediction" in found[0] and found[1]["error"]["message"] == "5 steps, at most 4 are read"


def test_an_input_of_too_many_tokens_keeps_its_place(served: Serve) -> None:
    found = predicted(served(tokens=3), "one-way", ["not good at all", "not good"])
    assert found[0]["error"] == {"code": "too_long", "message": "4 tokens, at most 3 are read"}
    assert "prediction" in found[1]


def test_answers_do_not_depend_on_what_else_is_asked(client: Client) -> None:
    """64 requests of several models and sizes at once; batches form, and nothing of a batch shows."""
    asked = [(TEXT_MODELS[at % 7], TEXTS[at % 50 : at % 50 + 1 + at % 3]) for at in range(64)]
    bodies = [{"model": model, "inputs": texts} for model, texts in asked]
    replies = client.run(*(client.send("POST", "/v1/predict", body) for body in bodies))
    for (model, texts), reply in zip(asked, replies, strict=True):
        assert reply.json["predictions"] == Model(bundle(model)).predict(texts)
    measured = client("GET", "/metrics").body.decode()
    [rows] = [line for line in measured.splitlines() if line.startswith('seqloom_batch_size_count{lane="quick"')]
    assert float(rows.split()[-1]) < 40  # 37 requests of four kinds were no 37 batches, but for a slow machine


def test_what_is_asked_for_beside_the_answer(client: Client) -> None:
    [answer] = predicted(client, "one-way", TEXTS[:1], top_k=1)
    [whole] = predicted(client, "one-way", TEXTS[:1])
    best = max(whole["probabilities"].values())
    assert list(answer["probabilities"].values()) == [best]
    [answer] = predicted(client, "answers", TEXTS[:1], suggest=2)
    assert [answer] == Model(bundle("answers")).predict(TEXTS[:1], suggest=2)
    reply = client("POST", "/v1/predict", {"inputs": TEXTS[:1], "suggest": 2})
    assert (reply.status, reply.code) == (409, "not_available")


# Generating


def generated(client: Client, **body: Any) -> Any:
    reply = client("POST", "/v1/generate", {"model": "play", "input": "the film", **body})
    assert reply.status == 200, reply.body
    return reply.json


def events(body: bytes) -> list[tuple[str, Any]]:
    found = []
    for event in body.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_text_is_gone_on_with_as_the_library_does(client: Client) -> None:
    [expected] = Model(bundle("play")).predict(["the film"])
    found = generated(client)
    assert {name: found[name] for name in expected} == expected
    assert (found["tokens"], found["finish"]) == (12, "length")


def test_what_is_drawn_hangs_on_the_seed_alone(client: Client) -> None:
    alone = [generated(client, seed=seed)["prediction"] for seed in range(6)]
    assert len(set(alone)) > 3
    bodies = [{"model": "play", "input": "the film", "seed": seed % 6} for seed in range(24)]
    replies = client.run(*(client.send("POST", "/v1/generate", body) for body in bodies))
    assert [reply.json["prediction"] for reply in replies] == alone * 4


@pytest.mark.parametrize(
    "body",
    [{}, {"seed": 3}, {"temperature": 0, "beam": 1}, {"temperature": 0, "beam": 3}, {"model": "answers"}],
    ids=str,
)
def test_a_stream_is_the_text_bit_by_bit(client: Client, body: dict[str, Any]) -> None:
    whole = generated(client, **body)
    reply = client("POST", "/v1/generate", {"model": "play", "input": "the film", "stream": True, **body})
    assert reply.headers["content-type"].startswith("text/event-stream")
    *tokens, (name, done) = events(reply.body)
    assert {event for event, _ in tokens} <= {"token"}
    assert "".join(token["text"] for _, token in tokens) == whole["prediction"] == done["prediction"]
    assert name == "done" and done["score"] == whole["score"]
    assert len(tokens) > 5 or body.get("model") or body.get("beam") == 3


def test_a_stream_tells_of_its_error(client: Client) -> None:
    reply = client("POST", "/v1/generate", {"model": "answers", "input": " ", "stream": True})
    assert events(reply.body) == [("error", {"code": "unreadable", "message": "empty text"})]


def test_a_stream_whose_client_leaves_ends(served: Serve) -> None:
    client = served(written=100_000, request_seconds=60.0)
    body = {"model": "play", "input": "the film", "stream": True, "max_output": 100_000}
    client.run(client.send("POST", "/v1/generate", body, gone=0.05))
    assert generated(client, max_output=3)["tokens"] == 3  # the lane is free again


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"model": "one-way"}, 409, "this model writes no texts"),
        ({"model": "sales"}, 409, "this model reads numbers"),
        ({"max_output": 1001}, 422, "max_output is 1,001, at most 1,000"),
        ({"temperature": 0, "beam": 33}, 422, "beam is 33, at most 32"),
        ({"temperature": 0, "top_k": 3}, 422, "decoding.top_k cuts what is drawn from"),
        ({"temperature": -1}, 422, "temperature: Input should be greater than or equal to 0"),
        ({"model": "answers", "input": " "}, 422, "empty text"),
    ],
)
def test_what_cannot_be_written_is_refused(client: Client, body: dict[str, Any], status: int, told: str) -> None:
    reply = client("POST", "/v1/generate", {"model": "play", "input": "the film", **body})
    assert reply.status == status
    assert told in reply.json["error"]["message"]


# Looking


def test_what_was_seen_is_what_the_lens_sees(client: Client) -> None:
    looks = {"answers": attention_map, "tags": tag_table, "play": surprises}
    for name, look in looks.items():
        reply = client("POST", "/v1/look", {"model": name, "input": TEXTS[0]})
        expected = look(bundle(name), TEXTS[0])
        assert reply.json["seen"] == json.loads(json.dumps(expected.to_dict()))
    seen = client("POST", "/v1/look", {"model": "sales", "input": SERIES[0]}).json["seen"]
    assert seen["history"] == SERIES[0] and len(seen["forecast"]) == 2


def test_what_was_seen_in_an_array_is_what_the_lens_sees(served: Serve) -> None:
    client, numbers = served(tokens=4), numbers_bundle()
    client.service.models["cut"] = warm("cut", numbers)
    card = client("GET", "/v1/models/cut").json
    assert (card["looks"], card["reads"]) == (True, "numbers")
    assert client("GET", "/v1/models/one-way").json["reads"] == "texts"
    for given in ([1.0, None, 3, 4], [[1.0], [2], [-3]]):
        seen = client("POST", "/v1/look", {"model": "cut", "input": given}).json["seen"]
        assert seen == json.loads(json.dumps(Model(numbers).look(given).to_dict()))
        assert len(seen["saliency"]["shares"]) == 3
    whole = numbers._replace(config=numbers.config.model_copy(update={"data": DataSettings()}))
    client.service.models["whole"] = warm("whole", whole)
    for name, given, said in (
        ("whole", [1.0] * 5, "5 steps, at most 4 are read"),
        ("cut", "/etc/hostname", "not an array of numbers"),
        ("cut", [[1.0, 2.0]], "the shape is (1, 2), but must be (time, 1)"),
    ):
        reply = client("POST", "/v1/look", {"model": name, "input": given})
        assert (reply.status, reply.code, said in reply.json["error"]["message"]) == (422, "unreadable", True)


def test_a_model_without_a_look_says_so(client: Client, hosted: dict[str, Hosted]) -> None:
    client.service.models["one-way"] = hosted["one-way"]._replace(cannot_look="nothing to see")
    reply = client("POST", "/v1/look", {"input": TEXTS[0]})
    assert (reply.status, reply.code) == (409, "not_available")
    assert reply.json["error"]["message"] == "nothing to see"


def test_no_text_is_ever_a_path(client: Client) -> None:
    reply = client("POST", "/v1/look", {"model": "sales", "input": "/etc/hostname"})
    assert (reply.status, reply.code) == (422, "unreadable")
    assert "list of numbers" in reply.json["error"]["message"]
