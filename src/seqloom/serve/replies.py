"""What several routes say and check alike."""

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from seqloom.bundle import Bundle
from seqloom.errors import ConfigError, DataError
from seqloom.serve.batching import Ran
from seqloom.serve.guard import Call
from seqloom.serve.hosted import Hosted, find
from seqloom.serve.refusal import Refusal
from seqloom.serve.service import Service


def of_ours(error: Exception) -> Refusal:
    """What the library said, as a refusal."""
    if isinstance(error, DataError):
        return Refusal(422, "unreadable", str(error))
    if isinstance(error, ConfigError):
        return Refusal(409, "not_available", str(error), hint="see /v1/models for what each model can")
    return Refusal(422, "refused", str(error))


def told(request: Request, model: Hosted, ran: Ran, values: dict[str, Any], *, status: int = 200) -> JSONResponse:
    """An answer with what every answer has: its id, its model, and how long it took."""
    call: Call = request.scope["seqloom"]
    timing = f"queue;dur={ran.waited * 1e3:.2f}, compute;dur={ran.computed * 1e3:.2f}"
    call.fields += [(b"x-seqloom-model", model.version.encode()), (b"server-timing", timing.encode())]
    seconds = ran.waited + ran.computed
    return JSONResponse({"id": call.id, "model": model.name, **values, "time_ms": round(seconds * 1e3, 2)}, status)


def check_size(given: Any, most: int, *, field: str) -> None:
    """Raise Refusal for an input that is too long, before anything is done with it."""
    parts = [given] if isinstance(given, str) else given
    size = sum(len(each) if isinstance(each, str | list) else 1 for each in parts)
    if size > most:
        raise Refusal(
            422, "input_too_long", f"{field}: {size:,} characters or values, at most {most:,} are read", field=field,
            hint="split it, or start the server with --limit characters=...",
        )  # fmt: skip


def text_model(service: Service, name: str | None) -> tuple[Hosted, Bundle]:
    """A model that reads texts. Raises Refusal."""
    model = find(service.models, name)
    if not isinstance(model.bundle, Bundle):
        raise Refusal(409, "not_available", "this model reads numbers, no texts", field="model")
    return model, model.bundle
