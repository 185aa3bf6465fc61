"""What a client is told when it does not get what it asked for: a stable code, one clear sentence, how to go on."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

NOT_JSON = "the body is not valid JSON"


class Refusal(HTTPException):
    """A request that is not answered. `code` is stable; `field` is where in the request the fault lies."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(status, message)
        self.code, self.field, self.hint, self.retry_after = code, field, hint, retry_after

    def body(self, request_id: str) -> bytes:
        """The JSON of it."""
        told = {"code": self.code, "message": self.detail, "field": self.field, "hint": self.hint}
        error = {name: value for name, value in told.items() if value is not None} | {"request_id": request_id}
        return json.dumps({"error": error}).encode()

    def fields(self) -> Mapping[str, str]:
        """The headers that belong to it."""
        return {} if self.retry_after is None else {"retry-after": str(self.retry_after)}


def busy(message: str, *, status: int = 429, code: str = "busy", retry_after: int = 1) -> Refusal:
    """Too much is asked for at once; the client may come again."""
    return Refusal(status, code, message, hint="try again after the seconds of Retry-After", retry_after=retry_after)


def a_bug() -> Refusal:
    """What went wrong is ours to know."""
    return Refusal(500, "internal", "this is a bug in the server, which has noted it")


def answer(refusal: Refusal, request_id: str) -> JSONResponse:
    """A refusal as a response."""
    response = JSONResponse(None, status_code=refusal.status_code, headers=dict(refusal.fields()))
    response.body = refusal.body(request_id)
    response.headers["content-length"] = str(len(response.body))
    return response


def of_validation(errors: list[Any]) -> Refusal:
    """What pydantic found first, without the text that was sent."""
    first = errors[0]
    path = ".".join(str(part) for part in first["loc"][1:])
    what = str(first["msg"]).removeprefix("Value error, ")
    return Refusal(422, "not_as_described", f"{path or 'body'}: {what}"[:500], field=path or None, hint="see /docs")
