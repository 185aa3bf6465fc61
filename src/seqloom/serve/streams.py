"""Answers that come bit by bit, and texts that do: generating, sessions, and state that the client keeps."""

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError

from seqloom.bundle import Bundle
from seqloom.config import DecodingSettings
from seqloom.errors import ConfigError, DataError, SeqloomError
from seqloom.inference import Piece, Reading, begin, check_decoding, read_on
from seqloom.serve import computing, held
from seqloom.serve.batching import Ran
from seqloom.serve.computing import Wanted
from seqloom.serve.guard import Call
from seqloom.serve.hosted import Hosted
from seqloom.serve.refusal import Refusal
from seqloom.serve.replies import check_size, of_ours, text_model, told
from seqloom.serve.requests import GenerateBody, HeldBody, SessionBody, StepBody
from seqloom.serve.service import Service

PING_SECONDS = 15.0
LEAVE_SECONDS = 0.5  # before the time of a request is up, to tell so
CHOSEN = ("temperature", "top_k", "top_p", "beam", "max_output", "no_repeat")


# Generating


def add_generate(app: FastAPI, service: Service) -> None:
    """`/v1/generate`."""

    @app.post("/v1/generate", tags=["answers"], summary="What is written after a text, or in answer to it")
    async def generate(request: Request, body: GenerateBody) -> Response:
        model, bundle = text_model(service, body.model)
        if not model.writes:
            raise Refusal(409, "not_available", "this model writes no texts", field="model", hint="use /v1/predict")
        check_size(body.input, service.limits.characters, field="input")
        decoding = _decoding(bundle, body, service)
        seed = bundle.config.seed if body.seed is None else body.seed
        compute = functools.partial(computing.generate, bundle, decoding=decoding, seed=seed)
        call: Call = request.scope["seqloom"]
        if body.stream:
            return StreamingResponse(_events(service, model, compute, body.input, call), media_type="text/event-stream")
        key = ("generate", model.name, decoding.model_dump_json(), seed)
        with _alive(call) as alive:
            ran = await service.slow.run(key, compute, [Wanted(body.input, alive)])
        [answer] = ran.results
        return told(request, model, ran, {"input": body.input, **answer})


def _decoding(bundle: Bundle, body: GenerateBody, service: Service) -> DecodingSettings:
    """The model's settings with those that were asked for. Raises Refusal."""
    limits, own = service.limits, bundle.config.decoding
    asked = {name: getattr(body, name) for name in CHOSEN if getattr(body, name) is not None}
    asked.setdefault("max_output", min(own.max_output or limits.written, limits.written))
    for name, most in (("max_output", limits.written), ("beam", limits.beam)):
        if asked.get(name, 0) > most:
            raise Refusal(422, f"{name}_too_large", f"{name} is {asked[name]:,}, at most {most:,}", field=name)
    try:
        decoding = DecodingSettings.model_validate({**own.model_dump(), **asked})
        check_decoding(decoding, bundle.config.model, asked=asked)
    except (ConfigError, ValidationError) as error:
        raise Refusal(422, "not_as_described", str(error)) from None
    return decoding


@contextlib.contextmanager
def _alive(call: Call) -> Iterator[Callable[[], bool]]:
    """Whether a request still waits for what is written: not once it is left, or its time is up."""
    left = False
    try:
        yield lambda: not left and time.monotonic() < call.deadline - LEAVE_SECONDS
    finally:
        left = True


async def _events(
    service: Service, model: Hosted, compute: functools.partial[Any], text: str, call: Call
) -> AsyncIterator[bytes]:
    """What is written as server-sent events: `token`s, then `done`, or `error`; a comment now and then between them.

    Where the client leaves, this ends, and with it the writing, before its next token.
    """
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[str] = asyncio.Queue()
    first = True

    def show(piece: str) -> None:
        nonlocal first
        if first:
            first = False  # the beginning, which the client has
        else:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

    with _alive(call) as alive:
        writing = service.slow.run(object(), functools.partial(compute, show=show), [Wanted(text, alive)])
        ran = asyncio.ensure_future(writing)
        get: asyncio.Future[str] | None = None
        try:
            sent = kept = ""
            while not (ran.done() and pieces.empty()):
                get = asyncio.ensure_future(pieces.get())
                await asyncio.wait({get, ran}, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not get.done():
                    get.cancel()
                    if not ran.done():
                        yield b": still here\n\n"
                    continue
                whole = kept + get.result()
                kept = "\n" if whole.endswith("\n") else ""  # the last piece has one more, which is no part of the text
                if piece := whole.removesuffix("\n"):
                    sent += piece
                    yield _event("token", {"text": piece})
            yield _last_events(ran, model, sent)
        finally:
            ran.cancel()
            if get is not None:
                get.cancel()


def _last_events(ran: "asyncio.Future[Ran]", model: Hosted, sent: str) -> bytes:
    """What had not been sent yet, and the end."""
    try:
        [answer] = ran.result().results
    except (Refusal, SeqloomError) as error:
        refusal = error if isinstance(error, Refusal) else of_ours(error)
        return _event("error", {"code": refusal.code, "message": refusal.detail})
    rest = answer["prediction"][len(sent) :]
    token = _event("token", {"text": rest}) if rest else b""
    return token + _event("done", {"model": model.name, **answer})


def _event(name: str, values: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(values)}\n\n".encode()


# Reading


def add_sessions(app: FastAPI, service: Service) -> None:
    """`/v1/sessions` and `/v1/step`."""
    sessions, limits = service.sessions, service.limits

    @app.post("/v1/sessions", tags=["texts that arrive"], summary="Open a session", status_code=201)
    async def open_session(request: Request, body: SessionBody) -> JSONResponse:
        model, bundle = _streaming(service, body.model)
        call: Call = request.scope["seqloom"]
        session = sessions.open(call.owner, model, begin(bundle))
        return JSONResponse({"id": session.id, "model": model.name, **_told(service)}, 201)

    @app.get("/v1/sessions/{id}", tags=["texts that arrive"], summary="Where a session stands")
    async def state(request: Request, id: str) -> dict[str, Any]:
        session = sessions.find(id, request.scope["seqloom"].owner)
        return {"id": id, "model": session.model.name, "seq": session.last.seq, "tokens": session.reading.steps}

    @app.delete("/v1/sessions/{id}", tags=["texts that arrive"], summary="End a session", status_code=204)
    async def close(request: Request, id: str) -> Response:
        sessions.close(id, request.scope["seqloom"].owner)
        return Response(status_code=204)

    @app.post("/v1/sessions/{id}/step", tags=["texts that arrive"], summary="Read the next piece of a session's text")
    async def step(request: Request, id: str, body: StepBody) -> JSONResponse:
        check_size(body.input, limits.characters, field="input")
        owner = request.scope["seqloom"].owner
        model = sessions.find(id, owner).model

        async def advance(reading: Reading, piece: Piece) -> tuple[Reading, dict[str, Any]]:
            return await _advance(service, model, reading, piece)

        answer = await sessions.step(id, owner, body.seq, Piece(body.input, body.last), advance)
        return JSONResponse({"id": id, "model": model.name, "seq": body.seq, **answer, **_told(service)})

    @app.post("/v1/step", tags=["texts that arrive"], summary="Read the next piece of a text whose state you keep")
    async def held_step(body: HeldBody) -> JSONResponse:
        check_size(body.input, limits.characters, field="input")
        model, bundle = _streaming(service, body.model)
        before = begin(bundle) if body.state is None else held.unseal(body.state, model, key=service.key)
        reading, answer = await _advance(service, model, before, Piece(body.input, body.last))
        return JSONResponse({"model": model.name, **answer, "state": held.seal(reading, model, key=service.key)})


def _streaming(service: Service, name: str | None) -> tuple[Hosted, Bundle]:
    """A model that reads texts as they arrive. Raises Refusal for one that cannot."""
    model, bundle = text_model(service, name)
    if model.cannot_stream is not None:
        raise Refusal(409, "cannot_stream", model.cannot_stream, field="model", hint="use /v1/predict with the whole")
    return model, bundle


async def _advance(service: Service, model: Hosted, reading: Reading, piece: Piece) -> tuple[Reading, dict[str, Any]]:
    """Read on, together with whoever else reads on just now. Raises Refusal."""
    bundle, longest = model.bundle, service.limits.tokens
    assert isinstance(bundle, Bundle)

    def compute(rows: Sequence[tuple[Reading, Piece]]) -> Sequence[Any]:
        return read_on(bundle, [each for each, _ in rows], [each for _, each in rows])

    ran = await service.quick.run(("read", model.name), compute, [(reading, piece)])
    [found] = ran.results
    if isinstance(found, DataError):
        raise Refusal(422, "unreadable", str(found), field="input")
    after: Reading = found[0]
    if after.steps > longest:
        raise Refusal(422, "too_long", f"{after.steps:,} tokens in all, at most {longest:,} are read", field="input")
    return after, found[1]


def _told(service: Service) -> dict[str, str]:
    """When a session ends that is not used."""
    ends = datetime.now(UTC) + timedelta(seconds=service.limits.session_seconds)
    return {"expires_at": ends.isoformat(timespec="seconds")}
