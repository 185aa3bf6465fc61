"""What a server is made of: models, lanes, sessions, counters, and who may talk to it."""

import functools
import hmac
import ipaddress
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from seqloom.errors import ConfigError
from seqloom.serve.batching import Lane
from seqloom.serve.hosted import Hosted
from seqloom.serve.limits import Limits
from seqloom.serve.metrics import Metrics
from seqloom.serve.sessions import Sessions

FEWEST_TOKEN_CHARACTERS = 22  # 128 bits in base64
CALM_SECONDS = 1.0  # without a refusal, after which an overload is over
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Address(NamedTuple):
    """Where the server listens, what else it is called there, and the tokens that let a client in; none for all."""

    host: str = "127.0.0.1"
    port: int = 8000
    names: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()

    def check(self, *, insecure: bool = False) -> None:
        """Raise ConfigError for a weak token, and for an address that others reach without one."""
        if any(len(token) < FEWEST_TOKEN_CHARACTERS or not token.isascii() for token in self.tokens):
            raise ConfigError(
                f"a token must have {FEWEST_TOKEN_CHARACTERS} ASCII characters or more. To make one: "
                'python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        if not is_loopback(self.host) and not self.tokens and not insecure:
            raise ConfigError(
                f"{self.host} can be reached from other machines: give a --token-file, or listen on 127.0.0.1, the "
                "default. Where something else keeps strangers out: --insecure"
            )

    def knows(self, host: str) -> bool:
        """Whether `host`, a Host header, is a name of this server: a page elsewhere cannot make up another one."""
        name = _name_of(host)
        if name in LOOPBACK_NAMES or name in (each.lower() for each in (*self.names, self.host)):
            return True
        # Where all addresses are listened on, each is its own name; a rebound name is never a number.
        return self.host in ("0.0.0.0", "::") and _is_number(name)

    def owner(self, authorization: str) -> str | None:
        """Who sends this Authorization header: "" where no token is needed, a number for a token, None for nobody."""
        if not self.tokens:
            return ""
        kind, _, given = authorization.partition(" ")
        found = None
        for number, token in enumerate(self.tokens):
            if hmac.compare_digest(token.encode(), given.strip().encode()) and kind.lower() == "bearer":
                found = str(number)
        return found


class Service:
    """Everything that requests share. `start` before the first, `stop` after the last."""

    def __init__(
        self,
        models: dict[str, Hosted],
        *,
        limits: Limits | None = None,
        address: Address | None = None,
        key: bytes | None = None,
    ) -> None:
        self.models = models
        self.limits = limits or Limits()
        self.address = address or Address()
        self.key = key or secrets.token_bytes(32)
        self.metrics = Metrics()
        self.sessions = Sessions(self.limits)
        # What is written token by token takes long, and has a lane of its own, so that what is quick stays so.
        self.quick, self.slow = (
            Lane(name, self.limits, observe=functools.partial(self.metrics.observe, name)) for name in ("quick", "slow")
        )
        self.open = 0
        self._refused = -CALM_SECONDS
        self.draining = False
        for model in models.values():
            self.metrics.name_model(model.name, model.checksum)

    @property
    def lanes(self) -> Sequence[Lane]:
        """Both lanes."""
        return (self.quick, self.slow)

    def start(self) -> None:
        """Begin to compute."""
        for lane in self.lanes:
            lane.start()

    def stop(self) -> None:
        """End the lanes once they have computed what waits."""
        for lane in self.lanes:
            lane.stop()

    def full(self) -> bool:
        """Whether one more request is too much, to be asked once for each.

        Many may come at once. But where more come than can be answered, as many as came would wait for ever: then only
        a few are let in at a time, which are answered soon, and the rest is told so at once.
        """
        now, limits = time.monotonic(), self.limits
        overloaded = now - self._refused < CALM_SECONDS
        if self.open < (min(limits.requests, limits.requests_overloaded) if overloaded else limits.requests):
            return False
        self._refused = now
        return True

    def ready(self) -> bool:
        """Whether a new request will be answered."""
        return not self.draining and all(lane.healthy() for lane in self.lanes)

    def measure(self) -> bytes:
        """The counters, as Prometheus reads them."""
        self.sessions.sweep()
        metrics = self.metrics
        metrics.open.set(self.open)
        metrics.sessions.set(len(self.sessions))
        metrics.session_bytes.set(self.sessions.bytes)
        metrics.expired.set(self.sessions.expired)
        for lane in self.lanes:
            metrics.depth.labels(lane.name).set(lane.depth)
        return metrics.text()


def read_tokens(file: Path | None) -> tuple[str, ...]:
    """The tokens of a file, one a line. Raises ConfigError where there is none."""
    if file is None:
        return ()
    tokens = tuple(line.strip() for line in _read(file).splitlines() if line.strip())
    if not tokens:
        raise ConfigError(f"{file} holds no token: write one on a line of its own.")
    return tokens


def read_key(file: Path | None) -> bytes | None:
    """The key of a file. Raises ConfigError for one that could be guessed."""
    if file is None:
        return None
    key = _read(file).strip().encode()
    if len(key) < FEWEST_TOKEN_CHARACTERS:
        raise ConfigError(f"{file}: a key must have {FEWEST_TOKEN_CHARACTERS} characters or more.")
    return key


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}.") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host == "localhost" or (_is_number(host) and ipaddress.ip_address(host).is_loopback)


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()
