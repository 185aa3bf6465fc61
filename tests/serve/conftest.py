"""A server in this process: tiny models, and a client that speaks ASGI, one event loop for both."""

import asyncio
import functools
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from seqloom.bundle import AnyBundle, Bundle, NumbersBundle, SeriesBundle, save_bundle
from seqloom.config import Config, DataSettings, DecodingSettings, ModelSettings
from seqloom.data import NextTargets, SeriesTargets, TagTargets, reviews
from seqloom.data.numbers import Channel, NumbersLayout, NumbersReader
from seqloom.data.series import Reader
from seqloom.data.series_layout import Layout
from seqloom.data.targets import Targets
from seqloom.data.text_targets import TextTargets
from seqloom.models.build import build_for_numbers, build_forecaster, build_model
from seqloom.serve import Address, Limits, Service
from seqloom.serve.app import build
from seqloom.serve.hosted import Hosted, warm
from seqloom.text import Tokeniser, Vocabulary

TEXTS = [text for text, _ in reviews(60, seed=0)]
TOKENISER = Tokeniser()
VOCABULARY = Vocabulary(tuple(sorted({token for text in TEXTS for token in TOKENISER.texts(text)})))


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        code: str = self.json["error"]["code"]
        return code


class Client:
    """Speaks to an application as a server would, in an event loop of its own that goes on between calls."""

    def __init__(self, app: Any, service: Service) -> None:
        self.app, self.service = app, service
        self.runner = asyncio.Runner()

    def run(self, *calls: Awaitable[Any]) -> list[Any]:
        """All of these at once."""

        async def together() -> list[Any]:
            return list(await asyncio.gather(*calls))

        return self.runner.run(together())

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        [reply] = self.run(self.send(method, path, body, **headers))
        assert isinstance(reply, Reply)
        return reply

    async def send(
        self, method: str, path: str, body: Any = None, *, gone: float | None = None, **headers: str
    ) -> Reply:
        """One request; bytes are sent as they are, anything else as JSON. After `gone` seconds the client leaves."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self.raw([data], method=method, path=path, gone=gone, headers=self.headers(headers, data))

    @staticmethod
    def headers(given: dict[str, str], data: bytes) -> list[tuple[bytes, bytes]]:
        fields = {"host": "127.0.0.1:8000", "content-type": "application/json", "content-length": str(len(data))}
        fields |= {name.replace("_", "-"): value for name, value in given.items()}
        return [(name.encode(), value.encode()) for name, value in fields.items() if value]

    async def raw(
        self,
        parts: Sequence[bytes],
        *,
        headers: Sequence[tuple[bytes, bytes]],
        method: str = "POST",
        path: str = "/v1/predict",
        gone: float | None = None,
    ) -> Reply:
        """One request whose body comes in parts."""
        bare, _, query = path.partition("?")
        scope = {"type": "http", "method": method, "path": bare, "raw_path": bare.encode(), "headers": list(headers)}
        scope |= {"query_string": query.encode(), "asgi": {"version": "3.0", "spec_version": "2.3"}}
        scope |= {"http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1)}
        scope |= {"root_path": "", "state": {}}
        waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        waiting[-1]["more_body"] = False
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop(0)
            if gone is None:
                await asyncio.Event().wait()
            await asyncio.sleep(gone or 0)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        if not sent:
            return Reply(0, {}, b"")
        fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], fields, b"".join(message.get("body", b"") for message in sent[1:]))


Serve = Callable[..., Client]


def bundle_of(targets: Any, **settings: Any) -> AnyBundle:
    """A model of the words of TEXTS that nobody has trained: its weights are random, and all different."""
    model = ModelSettings(hidden_size=6, embedding_size=5, num_layers=2, **settings)
    config = Config(task=targets.task, model=model, decoding=DecodingSettings(beam=2, max_output=12, temperature=0.0))
    if isinstance(targets, NextTargets):
        drawn = config.decoding.model_copy(update={"temperature": 0.8})
        config = config.model_copy(update={"decoding": drawn})
    torch.manual_seed(1)
    network = build_model(config, vocabulary=VOCABULARY, targets=targets)
    return Bundle(config, "text", "label", TOKENISER, VOCABULARY, targets, 0, {}, network.eval(), {})


@functools.cache
def tiny_models() -> dict[str, AnyBundle]:
    """Models of every kind, by name."""
    classes = Targets("multiclass", ("good", "bad", "neither"))
    tagged = Counter((word, "N" if len(word) > 4 else "V") for text in TEXTS for word in TOKENISER.texts(text))
    reader = Reader(context=4, horizon=2, season=1)
    series = SeriesTargets(Layout("rows", None, None, ()), None, reader, (0.1, 0.5, 0.9))
    config = Config(task="forecast", model=ModelSettings(hidden_size=6, bidirectional=False))
    torch.manual_seed(1)
    forecaster = build_forecaster(config, series).eval()
    return {
        "one-way": bundle_of(classes, bidirectional=False),
        "both-ways": bundle_of(classes),
        "mean": bundle_of(Targets("binary", ("no", "yes")), bidirectional=False, pooling="mean", cell="gru"),
        "number": bundle_of(Targets("squared", (), 5.0, 2.0), bidirectional=False, pooling="last", cell="simple_rnn"),
        "play": bundle_of(NextTargets(TOKENISER, VOCABULARY, ends=False), bidirectional=False),
        "answers": bundle_of(TextTargets(TOKENISER, VOCABULARY)),
        "tags": bundle_of(TagTargets.learn(tagged)),
        "sales": SeriesBundle(config, "values", "values", series, {}, forecaster, {}),
    }


def numbers_bundle() -> NumbersBundle:
    """A model of series of one channel, three steps of which are read."""
    channels, targets = (Channel("x", 0.0, 1.0),), Targets("multiclass", ("up", "down"))
    config = Config(task="classify", model=ModelSettings(hidden_size=6), data=DataSettings(max_length=3))
    reader = NumbersReader(NumbersLayout("long", ("x",)), channels, gaps=False)
    network = build_for_numbers(config, reader=reader, targets=targets).eval()
    return NumbersBundle(config, "x", "label", reader, targets, "up", {}, network, {})


@pytest.fixture(scope="session")
def hosted() -> dict[str, Hosted]:
    return {name: warm(name, bundle) for name, bundle in tiny_models().items()}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model on disk, for a server in a process of its own."""
    path = tmp_path_factory.mktemp("served") / "one-way"
    save_bundle(path, tiny_models()["one-way"], history=[], card="")
    return path


@pytest.fixture
def served(hosted: dict[str, Hosted]) -> Iterator[Serve]:
    """Makes a server with limits, or an address, of its own."""
    clients: list[Client] = []

    def make(*, address: Address | None = None, **limits: Any) -> Client:
        # Machines that run tests are busy ones: nothing is late here but where a test is about that.
        limits = {"waiting_seconds": 60.0, "request_seconds": 120.0, "requests": 256} | limits
        service = Service(dict(hosted), limits=Limits(**limits), address=address, key=b"k" * 32)
        service.start()
        clients.append(Client(build(service), service))
        return clients[-1]

    yield make
    for client in clients:
        client.service.stop()
        client.runner.close()


@pytest.fixture
def client(served: Serve) -> Client:
    """A server with the limits it has by itself."""
    return served()
