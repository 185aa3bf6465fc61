"""What a client may send: bodies as pydantic reads them, from JSON without what JSON only tolerates."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, Field, WithJsonSchema

from seqloom.plain_json import parse_json
from seqloom.serve.refusal import NOT_JSON, Refusal
from seqloom.settings import Settings

MOST_INPUTS = 4096  # whatever the limits say, so that no list is looked through in vain
TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)  # one without an end goes on to the last byte, and is read once
NUMBER_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "null"}]}
INPUT_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "description": "the words of a sentence, to be tagged"},
        {"type": "array", "items": NUMBER_SCHEMA, "description": "the values of a series, or a row of features"},
        {"type": "array", "items": {"type": "array", "items": NUMBER_SCHEMA}, "description": "the steps of a series"},
    ]
}


def _check_input(given: Any) -> Any:
    if isinstance(given, str):
        return given
    if isinstance(given, list):
        if all(isinstance(each, str) for each in given):
            return given
        if _are_numbers(given) or all(isinstance(each, list) and _are_numbers(each) for each in given):
            return given
    raise ValueError("an input is a text, a list of words, a list of numbers, or of lists of numbers")


def _are_numbers(given: list[Any]) -> bool:
    return all(each is None or type(each) in (int, float) for each in given)


def _check_inputs(given: list[Any]) -> list[Any]:
    for place, each in enumerate(given):
        try:
            _check_input(each)
        except ValueError as error:
            raise ValueError(f"inputs[{place}]: {error}") from None
    return given


Input = Annotated[Any, AfterValidator(_check_input), WithJsonSchema(INPUT_SCHEMA)]
Inputs = Annotated[
    list[Any],
    Field(min_length=1, max_length=MOST_INPUTS),
    AfterValidator(_check_inputs),
    WithJsonSchema({"type": "array", "minItems": 1, "items": INPUT_SCHEMA}),
]
ModelName = Annotated[str | None, Field(max_length=64, description="a name of /v1/models; the first where not given")]


class PredictBody(Settings):
    """Inputs to be answered, one answer each."""

    inputs: Inputs
    model: ModelName = None
    top_k: int | None = Field(None, ge=1, description="so many likeliest labels only")
    suggest: int | None = Field(None, ge=1, le=100, description="so many short texts that differ, of a translator")


class GenerateBody(Settings):
    """A text to be gone on with, or answered by a model that writes texts. What is not given is the model's own."""

    input: str
    model: ModelName = None
    stream: bool = Field(False, description="send what is written as it is written, as server-sent events")
    seed: int | None = Field(None, ge=0, lt=1 << 63, description="decides what is drawn")
    temperature: float | None = Field(None, ge=0, le=100)
    top_k: int | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    beam: int | None = Field(None, ge=1)
    max_output: int | None = Field(None, ge=1, description="tokens written at most")
    no_repeat: int | None = Field(None, ge=0)


class LookBody(Settings):
    """An input to be looked into."""

    input: Input
    model: ModelName = None


class SessionBody(Settings):
    """A session to be opened."""

    model: ModelName = None


class StepBody(Settings):
    """The next piece of a session's text."""

    input: str = Field(description="what comes next; a word is read once it has ended")
    seq: int = Field(ge=1, description="1 for the first step, then one more each; the same again for a retry")
    last: bool = Field(False, description="whether the text ends here")


class HeldBody(Settings):
    """The next piece of a text whose state the client keeps."""

    input: str
    model: ModelName = None
    state: str | None = Field(None, description="what the last step gave; none to begin")
    last: bool = Field(False, description="whether the text ends here")


def read_json(data: bytes, *, most: int) -> Any:
    """The JSON of a body, with `most` values at most. Raises Refusal."""
    opened, parted = data.count(b"[") + data.count(b"{"), data.count(b",")
    if opened + parted > most:  # brackets and commas within texts are none
        plain = TEXT.sub(b"", data)
        if plain.count(b"[") + plain.count(b"{") + plain.count(b",") > most:
            raise Refusal(400, "too_much_json", f"{NOT_JSON} of {most:,} values at most")
    try:
        return parse_json(data)
    except json.JSONDecodeError as error:
        raise Refusal(400, "bad_json", f"{NOT_JSON}: {error.msg} at character {error.pos}") from None
    except UnicodeError:
        raise Refusal(400, "bad_json", f"{NOT_JSON}: it holds what is no text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "bad_json", f"{NOT_JSON}: {error}"[:300]) from None


def strict_route(most: int) -> type[APIRoute]:
    """Routes whose bodies are read by `read_json`."""

    class StrictRequest(Request):
        async def json(self) -> Any:
            return read_json(await self.body(), most=most)

    class StrictRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def strict(request: Request) -> Response:
                return await handle(StrictRequest(request.scope, request.receive))

            return strict

    return StrictRoute
