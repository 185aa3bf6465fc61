"""Every limit of the server, on from the first request. Nothing is taken, kept or waited for without one."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, ValidationError

from seqloom.errors import ConfigError, nearest
from seqloom.settings import Settings

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Limits(Settings):
    """What a client may ask for, send, and let us wait."""

    body_bytes: Count = Field(1 << 20, description="bytes of a request's body")
    body_parts: Count = Field(4096, description="parts a body comes in, chunks or reads")
    header_bytes: Count = Field(32 << 10, description="bytes of a request's headers")
    header_fields: Count = Field(100, description="headers of a request")
    url_bytes: Count = Field(4096, description="bytes of a path with its query")
    json_values: Count = Field(100_000, description="values of a request's JSON, lists and objects counted too")
    inputs: Count = Field(256, description="inputs of a request")
    characters: Count = Field(100_000, description="characters of an input, values of a series")
    tokens: Count = Field(10_000, description="tokens of an input")
    written: Count = Field(1000, description="tokens that are written for an input")
    beam: Count = Field(32, description="texts that are followed at once")
    connections: Count = Field(512, description="connections at once")
    requests: Count = Field(64, description="requests being answered at once")
    requests_overloaded: Count = Field(16, description="the same, once more have come, until none was refused for 1 s")
    batch: Count = Field(64, description="inputs of several requests that are computed together")
    waiting: Count = Field(256, description="inputs that wait to be computed")
    sessions: Count = Field(10_000, description="sessions at once")
    session_bytes: Count = Field(256 << 20, description="bytes of all sessions")
    session_seconds: Seconds = Field(900.0, description="seconds after which an unused session ends")
    header_seconds: Seconds = Field(10.0, description="seconds for the headers of a request")
    body_seconds: Seconds = Field(30.0, description="seconds for the body of a request")
    stall_seconds: Seconds = Field(30.0, description="seconds in which a client reads nothing of its answer")
    waiting_seconds: Seconds = Field(2.0, description="seconds until an input is computed")
    request_seconds: Seconds = Field(30.0, description="seconds for a whole request")
    drain_seconds: Seconds = Field(30.0, description="seconds for open requests after SIGTERM")


def limits_of(overrides: Iterable[str]) -> Limits:
    """The limits with some changed, each as "name=number". Raises ConfigError."""
    values: dict[str, str] = {}
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"--limit {override}: write it as name=number, such as --limit body_bytes=2097152.")
        if name not in Limits.model_fields:
            raise ConfigError(f'--limit {override}: there is no limit "{name}": {nearest(name, Limits.model_fields)}')
        values[name] = value
    try:
        return Limits.model_validate_strings(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"--limit {first['loc'][0]}: {first['msg']}, but was given {first['input']!r}.") from None
