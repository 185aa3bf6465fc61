"""A classifier of sentences and reviews, trained: the same model of plain torch layers, of seqloom's, and accelerated.

Embedding 128, LSTM, GRU or SimpleRNN 128 in both directions, the largest output of each unit over time, dropout 0.3,
linear; Adam 1e-3, fused as `seqloom train` has it, and for torch's own layers also as torch makes it where nothing is
said, one parameter after the other; rows of like length together. All sides train on the same batches with the same
first weights, in turns of a few batches, so that what disturbs one disturbs all. Needs SEQLOOM_DATA.
"""

import csv
import gzip
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqloom
from benchmarks.in_process import KINDS
from benchmarks.measure import summarise
from benchmarks.timing import Sample, waited_seconds
from seqloom import shapes
from seqloom.config import ModelSettings
from seqloom.models import ManyToOne
from seqloom.nn import from_torch, max_pool

SIZE, BATCH, MIXED, MOST_WORDS, VOCABULARY = 128, 64, 50, 400, 20_000
PADDING, UNKNOWN, NEVER, DROPPED = 0, 1, -1e4, 0.3
UNFUSED = "unfused"
PACKED, PADDED = ("torch packed", f"torch packed, {UNFUSED}"), ("torch padded", f"torch padded, {UNFUSED}")
TARGETS = {"sst2": 0.80, "imdb": 0.85}  # accuracy on the rows for validation that each side must reach


class Row(NamedTuple):
    """Ids of the words, and the label."""

    words: list[int]
    label: int


class Batch(NamedTuple):
    """Rows as tensors: words (B, T), lengths (B,), labels (B,)."""

    words: Tensor
    lengths: Tensor
    labels: Tensor


class Data(NamedTuple):
    """Rows to learn from and rows to score, and how many words are known."""

    train: list[Row]
    valid: list[Row]
    words: int


class Classifier(nn.Module):
    """Embedding, a recurrent layer, the largest output over time, linear. What differs is `read`."""

    def __init__(self, layer: nn.Module, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, SIZE)
        self.layer = layer
        self.dropout = nn.Dropout(DROPPED)
        self.head = nn.Linear(2 * SIZE, 2)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        return self.score(self.read(self.dropout(self.embedding(words)), lengths))

    def read(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """(B, 2H) from vectors (B, T, I)."""
        raise NotImplementedError

    def score(self, pooled: Tensor) -> Tensor:
        """(B, 2) from (B, 2H)."""
        scores: Tensor = self.head(self.dropout(pooled))
        return scores


class Packed(Classifier):
    """Plain torch: packed, so that padding costs nothing and is never read."""

    def read(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Pack, read, pad again, pool."""
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.layer(packed)[0], batch_first=True, padding_value=NEVER)
        return outputs.amax(dim=1)


class Padded(Classifier):
    """Plain torch: padding is read as if it were words, and only kept out of the pooling."""

    def read(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Read all, pool the real steps."""
        outputs: Tensor = self.layer(vectors)[0]
        padding = torch.arange(outputs.shape[1]) >= lengths[:, None]
        return outputs.masked_fill(padding[..., None], NEVER).amax(dim=1)


class Ours(Classifier):
    """seqloom's layer and pooling, told the lengths."""

    def read(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Read the real steps, pool them."""
        return max_pool(self.layer(vectors, lengths)[0], lengths)


class Own(nn.Module):
    """The same model as `seqloom train` makes it, with the weights of `first`.

    What the layer makes of a word is computed once a batch, dropout takes the same numbers from a word wherever it
    stands in the batch, and these numbers are others than torch's.
    """

    def __init__(self, first: Classifier, words: int) -> None:
        super().__init__()
        settings = ModelSettings(
            embedding_size=SIZE, hidden_size=SIZE, bidirectional=True, pooling="max", dropout=DROPPED, word_dropout=0.0
        )
        self.model = ManyToOne(settings, outputs=2, problem="multiclass", vocabulary_size=words)
        self.model.recurrent = from_torch(first.layer)
        self.model.embedding.load_state_dict(first.embedding.state_dict())
        self.model.head.load_state_dict(first.head.state_dict())

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        scores: Tensor = self.model(shapes.Batch(words, lengths))
        return scores


class Trained:
    """A model in training: its optimiser, and a clock that runs only while it trains."""

    def __init__(self, model: nn.Module, *, fused: bool = True) -> None:
        self.model = model
        self.optimiser = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
        self.seconds = 0.0
        self.turns: list[Sample] = []  # seconds a token
        self.curve: list[tuple[float, float]] = []  # seconds of training, accuracy

    def learn(self, batches: Sequence[Batch], seed: int) -> None:
        """A training step on each batch; the same seed draws the same dropout on every side."""
        torch.manual_seed(seed)
        self.model.train()
        waited, started = waited_seconds(), time.perf_counter()
        for words, lengths, labels in batches:
            self.optimiser.zero_grad()
            loss: Tensor = nn.functional.cross_entropy(self.model(words, lengths), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        seconds = time.perf_counter() - started
        self.seconds += seconds
        tokens = sum(int(batch.lengths.sum()) for batch in batches)
        self.turns.append(Sample(seconds / tokens, (waited_seconds() - waited) / seconds))

    @torch.no_grad()
    def score(self, batches: Sequence[Batch]) -> float:
        """Accuracy, noted beside the clock."""
        self.model.eval()
        right = sum(int((self.model(b.words, b.lengths).argmax(1) == b.labels).sum()) for b in batches)
        accuracy = right / sum(len(batch.labels) for batch in batches)
        self.curve.append((round(self.seconds, 2), round(accuracy, 4)))
        return accuracy


class Plan(NamedTuple):
    """How long to train: batches a turn, turns (None: to the end of the epochs), epochs."""

    turn: int = 20
    turns: int | None = None
    epochs: int = 3
    scored_every: int = 5  # turns


def sides(cell: str, words: int) -> dict[str, Trained]:
    """The seven ways to train the same first weights."""
    torch.manual_seed(0)
    layer = KINDS[cell](SIZE, SIZE, bidirectional=True, batch_first=True)
    first = Packed(layer, words)
    models: dict[str, nn.Module] = {"seqloom": Ours(from_torch(layer), words), "seqloom train": Own(first, words)}
    kinds = {"seqloom accelerate": Packed, **dict.fromkeys(PACKED, Packed), **dict.fromkeys(PADDED, Padded)}
    for name, kind in kinds.items():
        models[name] = kind(KINDS[cell](SIZE, SIZE, bidirectional=True, batch_first=True), words)
        models[name].load_state_dict(first.state_dict())
    ours = {name: value for name, value in first.state_dict().items() if not name.startswith("layer.")}
    models["seqloom"].load_state_dict(ours, strict=False)
    if hasattr(seqloom, "accelerate"):
        seqloom.accelerate(models["seqloom accelerate"])
    else:
        del models["seqloom accelerate"]
    return {name: Trained(model, fused=UNFUSED not in name) for name, model in models.items()}


def measure(name: str, cell: str, *, plan: Plan, without: Sequence[str] = ()) -> dict[str, Any]:
    """Train every side on data set `name` until all have reached its target, or the plan ends."""
    data = read(name)
    racing = {side: model for side, model in sides(cell, data.words).items() if side not in without}
    valid = list(batches(data.valid, seed=0))
    reached: dict[str, float] = {}
    for number, turn in enumerate(turns(data.train, plan)):
        for side, model in racing.items():
            model.learn(turn, seed=number)
            if (number + 1) % plan.scored_every == 0 and model.score(valid) >= TARGETS[name]:
                reached.setdefault(side, model.seconds)
        if len(reached) == len(racing):
            break
    a_token = {side: summarise(model.turns, plan.turn) for side, model in racing.items()}
    return {
        "set": name,
        "cell": cell,
        "target": TARGETS[name],
        "batches_a_turn": plan.turn,
        "sides": {
            side: {
                "tokens_per_second": round(1 / a_token[side]["median"]),
                "ratio": round(a_token[side]["median"] / a_token["seqloom"]["median"], 3),
                "turns": a_token[side]["samples"],
                "clean": a_token[side]["clean"],
                "seconds_to_target": round(reached[side], 2) if side in reached else None,
                "curve": model.curve,
            }
            for side, model in racing.items()
        },
    }


def turns(rows: Sequence[Row], plan: Plan) -> Iterator[list[Batch]]:
    """The batches of the epochs, a turn's together."""
    given = 0
    for epoch in range(plan.epochs):
        drawn = list(batches(rows, seed=epoch))
        for start in range(0, len(drawn), plan.turn):
            if given == plan.turns:
                return
            given += 1
            yield drawn[start : start + plan.turn]


def batches(rows: Sequence[Row], *, seed: int) -> Iterator[Batch]:
    """Rows in mixed order; fifty batches' worth at a time sorted by length, so that a batch holds rows alike."""
    draw = random.Random(seed)
    mixed = draw.sample(rows, len(rows))
    drawn: list[list[Row]] = []
    for start in range(0, len(mixed), BATCH * MIXED):
        alike = sorted(mixed[start : start + BATCH * MIXED], key=lambda row: len(row.words))
        drawn += [alike[first : first + BATCH] for first in range(0, len(alike), BATCH)]
    draw.shuffle(drawn)
    return map(_batch, drawn)


def read(name: str) -> Data:
    """SST-2 by its own split; IMDB by the split column, words in lower case, at most 400 of them."""
    root = Path(os.environ["SEQLOOM_DATA"])
    if name == "sst2":
        train, valid = (_sentences(root / "sst2" / f"{part}.tsv") for part in ("train", "dev"))
    else:
        train, valid = _reviews(root / "imdb" / "train.csv.gz")
    counted = Counter(word for words, _ in train for word in words)
    known = {word: number for number, (word, _) in enumerate(counted.most_common(VOCABULARY), start=2)}

    def ids(texts: list[tuple[list[str], int]]) -> list[Row]:
        return [Row([known.get(word, UNKNOWN) for word in words] or [UNKNOWN], label) for words, label in texts]

    return Data(ids(train), ids(valid), len(known) + 2)


def _sentences(path: Path) -> list[tuple[list[str], int]]:
    rows = (line.rsplit("\t", 1) for line in path.read_text(encoding="utf-8").split("\n")[1:] if line)
    return [(text.split()[:MOST_WORDS], int(label)) for text, label in rows]


def _reviews(path: Path) -> tuple[list[tuple[list[str], int]], list[tuple[list[str], int]]]:
    parts: dict[str, list[tuple[list[str], int]]] = {"train": [], "val": []}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            words = re.findall(r"\w+|[^\w\s]", row["text"].lower())[:MOST_WORDS]
            parts[row["split"]].append((words, int(row["label"] == "pos")))
    return parts["train"], parts["val"]


def _batch(rows: Sequence[Row]) -> Batch:
    lengths = torch.tensor([len(row.words) for row in rows])
    words = torch.full((len(rows), int(lengths.max())), PADDING)
    for number, row in enumerate(rows):
        words[number, : len(row.words)] = torch.tensor(row.words)
    return Batch(words, lengths, torch.tensor([row.label for row in rows]))
