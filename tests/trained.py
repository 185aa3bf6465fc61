"""One small model of each problem, trained once for all the tests that only read them."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import seqloom
from seqloom.data import reviews
from tests.training.tiny import write_pairs

SMALL: dict[str, Any] = {
    "model.hidden_size": 4,
    "model.embedding_size": 4,
    "training.epochs": 1,
    "training.baselines": False,
}


class Trained(NamedTuple):
    """Four models and the files they were trained on; to be read, never written (evaluate a `copy_of`: it writes)."""

    classifier: Path
    regressor: Path
    multilabel: Path
    reviews: Path
    numbers: Path
    topics: Path
    translator: Path
    pairs: Path


def copy_of(folder: Path, *, below: Path) -> Path:
    """A model of these for a test that writes into its folder, as `seqloom evaluate` does."""
    return shutil.copytree(folder, below / folder.name)


@functools.cache
def small_models(base: Path) -> Trained:
    """Train them into `base`/trained, once in a test run; the first and the last with the comparison at the end."""
    folder = base / "trained"
    folder.mkdir()
    models = Trained(
        *(folder / name for name in ("classifier", "regressor", "multilabel")),
        reviews=folder / "reviews.csv",
        numbers=folder / "numbers.jsonl",
        topics=folder / "topics.tsv",
        translator=folder / "translator",
        pairs=write_pairs(folder / "pairs.csv"),
    )
    rows = reviews(60, seed=0)
    models.reviews.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    numbers = [{"text": text, "words": len(text.split())} for text, _ in rows]
    models.numbers.write_text("".join(json.dumps(row) + "\n" for row in numbers))
    topics = [(text, [label, "long"] if len(text) > 30 else [label]) for text, label in rows]
    models.topics.write_text("text\tlabels\n" + "".join(f"{text}\t{'|'.join(labels)}\n" for text, labels in topics))
    compared = SMALL | {"training.baselines": True}
    seqloom.train(
        models.reviews, task="classify", input="text", target="label", out=models.classifier, settings=compared
    )
    seqloom.train(models.numbers, task="regress", target="words", out=models.regressor, settings=SMALL)
    seqloom.train(models.topics, out=models.multilabel, settings=SMALL | {"data.label_separator": "|"})
    learned = compared | {"training.epochs": 6, "training.learning_rate": 0.03, "model.hidden_size": 12}
    seqloom.train(models.pairs, task="translate", target="reply", out=models.translator, settings=learned)
    return models
