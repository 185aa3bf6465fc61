"""Two small taggers, parts of speech and spans, trained once for all the tests that only read them."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import seqloom
from seqloom.data.generators_tags import named, tagged, to_conll

SMALL: dict[str, Any] = {
    "model.hidden_size": 8,
    "model.embedding_size": 8,
    "model.character_size": 8,
    "model.dropout": 0.1,
    "training.learning_rate": 0.03,
    "training.batch_size": 8,
    "training.average": 0.8,
    "training.epochs": 6,
}


class Taggers(NamedTuple):
    """Models and the files they were trained on; to be read, never written."""

    speech: Path
    speech_data: Path
    spans: Path
    spans_data: Path


def write_tagged(path: Path, count: int = 80, *, seed: int = 1) -> Path:
    """A CoNLL file of generated sentences with the parts of speech."""
    path.write_text(to_conll(tagged(count, seed=seed)), encoding="utf-8")
    return path


@functools.cache
def small_taggers(base: Path) -> Taggers:
    """Train them into `base`/taggers, once in a test run; the first with all baselines, the second with a CRF."""
    folder = base / "taggers"
    folder.mkdir()
    speech = write_tagged(folder / "speech.conll")
    spans = folder / "spans.conll"
    spans.write_text(to_conll(named(80, seed=1)), encoding="utf-8")
    seqloom.train(speech, out=folder / "speech", settings=SMALL)
    crf = {"model.output": "crf", "training.baselines": False}
    seqloom.train(spans, out=folder / "spans", settings=SMALL | crf)
    return Taggers(folder / "speech", speech, folder / "spans", spans)
