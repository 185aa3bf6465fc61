"""The models that are served, by name: loaded once, warmed, described. Nothing is ever loaded by a request."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from seqloom.bundle import AnyBundle, Bundle, NumbersBundle, SeriesBundle, load_bundle
from seqloom.data import CaptionTargets
from seqloom.errors import ConfigError, SeqloomError, nearest
from seqloom.inference import check_streams
from seqloom.models import LanguageModel, Seq2Seq
from seqloom.serve import computing
from seqloom.serve.refusal import Refusal

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
WARM_UP = "a"


class Hosted(NamedTuple):
    """A model under its name. `streams` and `looks` say what else than predict it can, None, or why it cannot.

    `report` is the page that its training left in its folder, None where there is none.
    """

    name: str
    bundle: AnyBundle
    checksum: str
    cannot_stream: str | None
    cannot_look: str | None
    report: bytes | None = None

    @property
    def version(self) -> str:
        """`name@` and what tells this model from others of its name."""
        return f"{self.name}@{self.checksum[:8]}"

    @property
    def writes(self) -> bool:
        """Whether it writes texts, token by token, which takes long."""
        return isinstance(self.bundle.model, LanguageModel | Seq2Seq)

    @property
    def draws(self) -> bool:
        """Whether what it answers hangs on the place of an input in its request."""
        return self.writes and (
            isinstance(self.bundle.model, LanguageModel) or self.bundle.config.decoding.temperature > 0
        )

    def card(self) -> dict[str, Any]:
        """What `/v1/models` tells of it."""
        bundle = self.bundle
        labels = [] if isinstance(bundle, SeriesBundle) else list(getattr(bundle.targets, "labels", ()))
        return {
            "name": self.name,
            "task": bundle.targets.task,
            "input": bundle.input,
            "reads": "texts" if isinstance(bundle, Bundle) else "numbers",
            "target": bundle.target,
            "labels": labels,
            "cell": bundle.config.model.cell,
            "parameters": sum(each.numel() for each in bundle.model.parameters()),
            "checksum": self.checksum,
            "streams": self.cannot_stream is None,
            "looks": self.cannot_look is None,
            "report": self.report is not None,
            "metrics": bundle.metrics.get("metrics", {}),
        }


def host(models: Iterable[str]) -> dict[str, Hosted]:
    """Load and warm models, each a FOLDER or NAME=FOLDER. Raises ConfigError for names, BundleError for folders."""
    hosted: dict[str, Hosted] = {}
    for given in models:
        name, equals, folder = given.partition("=")
        if not equals or "/" in name:
            folder = given
            name = Path(folder).resolve().name
        if not NAME.fullmatch(name):
            raise ConfigError(
                f'"{name}" cannot be the name of a served model: letters, digits, ".", "_" and "-", 64 at most. '
                f"Give it one: NAME={folder}"
            )
        if name in hosted:
            raise ConfigError(f'two models are named "{name}". Give one of them another name: NAME={folder}')
        bundle = load_bundle(folder)
        if isinstance(bundle.targets, CaptionTargets):
            raise ConfigError(
                f"{name} writes captions for image files, and no client may name a file of this machine. It cannot be "
                "served; use seqloom predict."
            )
        hosted[name] = warm(name, bundle)._replace(report=_report(Path(folder)))
    return hosted


def warm(name: str, bundle: AnyBundle) -> Hosted:
    """The model after it has answered once, so that no client waits for what is only made ready when it is used."""
    example: Any = WARM_UP
    if isinstance(bundle, SeriesBundle):
        example = [1.0] * (bundle.targets.reader.fewest + 1)
    if isinstance(bundle, NumbersBundle):
        example = [[0.0] * len(bundle.reader.channels)]
    computing.predict(bundle, [example], longest=len(example))
    return Hosted(name, bundle, _checksum(bundle), _why_no_stream(bundle), _why_no_look(bundle, example))


def _report(folder: Path) -> bytes | None:
    file = folder / "report.html"
    return file.read_bytes() if file.is_file() else None


def find(hosted: dict[str, Hosted], name: str | None) -> Hosted:
    """The model of that name, the first where none is given. Raises Refusal."""
    if name is None:
        return next(iter(hosted.values()))
    if name not in hosted:
        raise Refusal(404, "no_such_model", f"there is no model of that name: {nearest(name, hosted)}", field="model")
    return hosted[name]


def _why_no_stream(bundle: AnyBundle) -> str | None:
    try:
        check_streams(bundle)
    except ConfigError as error:
        return str(error)
    return None


def _why_no_look(bundle: AnyBundle, example: Any) -> str | None:
    try:
        computing.look(bundle, example, longest=len(example))
    except ConfigError as error:
        return str(error)
    except SeqloomError:
        return None  # only the example cannot be read
    return None


def _checksum(bundle: AnyBundle) -> str:
    """A hash of all that decides the answers."""
    described: dict[str, Any] = {"settings": bundle.config.model_dump(), "targets": bundle.targets.to_dict()}
    if isinstance(bundle, Bundle):
        described |= {"tokeniser": bundle.tokeniser.to_dict(), "vocabulary": bundle.vocabulary.tokens}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, parameter in bundle.model.named_parameters():
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
