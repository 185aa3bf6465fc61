"""python -m benchmarks.writing SET: texts written on real data, scored once on rows that nothing was tuned on.

Translation (Multi30k), pronunciation (CMUdict), transliteration (Arabic to Latin), replies (DailyDialog). Needs
SEQLOOM_DATA. Time is the wall clock of the whole training.
"""

import argparse
import csv
import itertools
import json
import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import RESULTS, keep
from benchmarks.overrides import read_overrides
from seqloom.api import Model, load, train
from seqloom.data import Example, read_table
from seqloom.inference import encode, write_for
from seqloom.training import Event, Validated
from seqloom.training.text_metrics import score_texts, signatures

EXAMPLES = RESULTS.parent.parent / "examples"
LONGEST = (8, 11, 14, 17, 1000)  # words of a source, by which BLEU is told apart
Pairs = Iterable[tuple[str, str]]


class Files(NamedTuple):
    """What is trained on, what chooses the epoch, what is scored at the end; columns read and learned."""

    train: Path
    valid: Path
    test: Path
    input: str
    target: str


class Task(NamedTuple):
    """How a set becomes files, and the settings beside the defaults."""

    files: Callable[[Path, Path], Files]
    config: str | None = None
    settings: dict[str, Any] = {}  # noqa: RUF012 - of a tuple, and never changed


def multi30k(source: str, target: str) -> Callable[[Path, Path], Files]:
    """Line-aligned files as they are."""

    def files(root: Path, folder: Path) -> Files:
        train, valid, test = (root / "multi30k" / part for part in ("train", "val", "test_2016_flickr"))
        return Files(train, valid, test, source, target)

    return files


def cmudict(root: Path, folder: Path) -> Files:
    """Words parted 90/5/5 by seed, each with all its pronunciations, phonemes without stress."""
    words: dict[str, list[str]] = {}
    for line in (root / "cmudict" / "cmudict.dict").read_text(encoding="utf-8").split("\n"):
        entry = line.partition(" #")[0].split()
        if entry:
            spoken = re.sub(r"\d", "", " ".join(entry[1:]))
            known = words.setdefault(re.sub(r"\(\d+\)$", "", entry[0]), [])
            if spoken not in known:
                known.append(spoken)
    order = sorted(words)
    random.Random(0).shuffle(order)
    twentieth = len(order) // 20
    parts = {"valid": order[:twentieth], "test": order[twentieth : 2 * twentieth], "train": order[2 * twentieth :]}
    paths = {
        part: _write(folder / f"{part}.csv", ((word, spoken) for word in chosen for spoken in words[word]))
        for part, chosen in parts.items()
    }
    return Files(paths["train"], paths["valid"], paths["test"], "source", "target")


def transliteration(root: Path, folder: Path) -> Files:
    """The set's own parts."""

    def copy(part: str) -> Path:
        lines = (root / "translit_ar_en" / f"ar2en-{part}.txt").read_text(encoding="utf-8").split("\n")
        pairs = (line.split("\t") for line in lines if "\t" in line)
        return _write(folder / f"{part}.csv", ((pair[0], pair[1]) for pair in pairs))

    return Files(copy("train"), copy("eval"), copy("test"), "source", "target")


def replies(root: Path, folder: Path) -> Files:
    """Each turn and the one after it; dialogues of validation and test that stand in training are left out."""
    seen: set[str] = set()
    paths: dict[str, Path] = {}
    for part in ("train", "validation", "test"):
        text = (root / "dailydialog" / f"dialogues_{part}.txt").read_text(encoding="utf-8")
        dialogues = [line.strip() for line in text.split("\n") if line.strip()]
        kept = [dialogue for dialogue in dict.fromkeys(dialogues) if dialogue not in seen]
        seen |= set(kept) if part == "train" else set()
        turns = ([_tidy(turn) for turn in dialogue.split("__eou__") if turn.strip()] for dialogue in kept)
        pairs = (pair for row in turns for pair in itertools.pairwise(row))
        paths[part] = _write(folder / f"{part}.csv", pairs)
    return Files(paths["train"], paths["validation"], paths["test"], "source", "target")


TASKS = {
    "multi30k-de-en": Task(multi30k("de", "en"), "multi30k.toml"),
    "multi30k-en-de": Task(multi30k("en", "de"), "multi30k.toml"),
    "multi30k-de-en-none": Task(multi30k("de", "en"), "multi30k.toml", {"model.attention": "none"}),
    "cmudict": Task(cmudict, "pronounce.toml"),
    "transliteration": Task(transliteration),
    "replies": Task(replies, "replies.toml"),
}


def measure(name: str, *, settings: dict[str, Any], out: Path | None = None) -> dict[str, Any]:
    """Train on one set, score its test rows once; kept as results/writing-NAME.json where nothing was changed."""
    task, epochs = TASKS[name], []

    def report(event: Event) -> None:
        if isinstance(event, Validated):
            epochs.append(event._asdict())
        if not hasattr(event, "batch"):
            print(name, event, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        files = task.files(Path(os.environ["SEQLOOM_DATA"]), Path(folder))
        started = time.perf_counter()
        model = train(
            files.train,
            valid=files.valid,
            task="translate",
            input=files.input,
            target=files.target,
            config=EXAMPLES / task.config if task.config else None,
            settings={**task.settings, **settings},
            out=out or Path(folder) / "model",
            report=report,
        )
        minutes = (time.perf_counter() - started) / 60
        result: dict[str, Any] = {
            "set": name,
            "settings": {**task.settings, **settings},
            "minutes": round(minutes, 2),
            "valid": model.metrics,
            "test": score(model, files.test) if not settings else None,
            "epochs": epochs,
        }
    if not settings:
        keep(f"writing-{name}", result)
    return result


def rescore(name: str, folder: Path) -> dict[str, Any]:
    """Score a model that was trained with the settings of `name` before, and keep the result."""
    task, model = TASKS[name], load(folder)
    with tempfile.TemporaryDirectory() as place:
        test = score(model, task.files(Path(os.environ["SEQLOOM_DATA"]), Path(place)).test)
    history = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    result = {
        "set": name,
        "settings": task.settings,
        "minutes": round(model.metrics["seconds"] / 60, 2),
        "valid": model.metrics,
        "test": test,
        "epochs": [json.loads(line) for line in history],
    }
    keep(f"writing-{name}", result)
    return result


def score(model: Model, path: Path) -> dict[str, Any]:
    """The test rows: the program's own metrics, each source once, BLEU by length, and examples."""
    found = model.evaluate(path)
    bundle = model.bundle
    table = read_table(path, only=[bundle.input, bundle.target])
    rows = [row for row in encode(bundle, table, with_target=True) if isinstance(row, Example)]
    references: dict[str, list[str]] = {}
    for row in rows:
        references.setdefault(row.text, []).append(row.target_text or "")
    once = list({row.text: row for row in rows}.values())
    written = [best.text for [best] in write_for(bundle, once, alternatives=1)]

    def scores(chosen: Sequence[int]) -> dict[str, Any]:
        texts, answers = [written[row] for row in chosen], [references[once[row].text] for row in chosen]
        first, others = [answer[0] for answer in answers], [answer[1:] for answer in answers]
        units = bundle.targets.units  # type: ignore[union-attr]
        return {"rows": len(chosen), **score_texts(texts, first, units=units, other_references=others).to_dict()}

    lengths = [len(row.text.split()) for row in once]
    by_length = []
    for above, longest in zip((0, *LONGEST), LONGEST, strict=False):
        chosen = [row for row, length in enumerate(lengths) if above < length <= longest]
        if chosen:
            by_length.append({"words": [above + 1, longest], **scores(chosen)})
    examples = [{"input": once[row].text, "written": written[row]} for row in range(0, len(once), len(once) // 20)]
    return {
        **{key: found[key] for key in ("metrics", "intervals", "baselines", "rows")},
        "signatures": signatures([row.target_text or "" for row in rows]),
        "each_source_once": scores(range(len(once))),
        "by_length": by_length,
        "examples": examples[:20],
    }


def _tidy(turn: str) -> str:
    """A turn as people write it: no blank before a sign, nor around an apostrophe."""
    turn = re.sub(r"\s+([.,!?;:])", r"\1", turn.strip())
    return re.sub(r"\s*[’']\s*(?=\w)", "'", turn)


def _write(path: Path, pairs: Pairs) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "target"])
        writer.writerows(pairs)
    return path


def main() -> None:
    """One set; with --set nothing is kept, and the test rows are not looked at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(TASKS))
    parser.add_argument("--set", action="append", default=[], help="section.key=value: to try, on validation rows")
    parser.add_argument("--out", type=Path, help="keep the model here")
    parser.add_argument(
        "--score", type=Path, help="a folder of --out, to be scored on the test rows once its settings stand"
    )
    given = parser.parse_args()
    if given.score:
        print(given.name, rescore(given.name, given.score)["test"]["metrics"])
        return
    settings = read_overrides(given.set)
    result = measure(given.name, settings=settings, out=given.out)
    print(given.name, result["minutes"], "minutes", (result["test"] or result["valid"])["metrics"])


if __name__ == "__main__":
    main()
