"""What was found in the data before anything is trained on it, as numbered findings.

The numbers are stable: `FINDINGS` says what each stands for, and a number is never given a second meaning.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from seqloom.config import Config
from seqloom.data.caption_targets import CaptionTargets
from seqloom.data.check_captions import caption_findings
from seqloom.data.check_streams import stream_findings
from seqloom.data.examples import Example, written_ids
from seqloom.data.findings import Finding, Level
from seqloom.data.numbers import NumericExample
from seqloom.data.numbers_check import numbers_findings
from seqloom.data.numbers_prepare import GatheredNumbers, PreparedNumbers, prepare_numbers
from seqloom.data.prepare import Gathered, Prepared, encode, gather
from seqloom.data.prepare_streams import GatheredTexts, encode_texts, gather_texts, is_stream
from seqloom.data.repeats import as_read, overlaps
from seqloom.data.rows import RejectedRow
from seqloom.data.series_check import check_series
from seqloom.data.series_prepare import GatheredSeries
from seqloom.data.tag_targets import TagTargets
from seqloom.data.targets import Targets
from seqloom.data.text_targets import TextTargets
from seqloom.errors import DataError
from seqloom.text import UNKNOWN

Amount = TypeVar("Amount", int, float)
_Noted = Gathered | GatheredNumbers | Prepared | PreparedNumbers

FINDINGS = {
    "D101": "rows used and rejected",
    "D102": "why rows were rejected, the first few",
    "D103": "what was inferred or noticed while reading",
    "D201": "classes or tags and how often each occurs in training",
    "D202": "range of the target numbers",
    "D203": "classes or tags that are rare in training",
    "D204": "classes of very unequal size",
    "D205": "classes or tags that do not occur in validation or test",
    "D206": "target texts that equal their source",
    "D301": "lengths in tokens",
    "D302": "lengths of target texts in tokens",
    "D303": "tokens of a target text for each token of its source",
    "D304": "rows whose source and target text are of very unequal length",
    "D305": "tokens and characters of each part of a text",
    "D401": "size of the vocabulary",
    "D402": "share of tokens in validation or test that training does not know",
    "D403": "size of the vocabulary of target texts",
    "D404": "share of tokens in target texts of validation or test that training does not know",
    "D501": "texts that stand more than once in training",
    "D502": "texts of validation or test that stand in training too",
    "D503": "the same training text with different targets",
    "D601": "why training could not start",
    "D701": "series and their lengths in steps",
    "D702": "steps that have no value",
    "D703": "series that never change",
    "D704": "windows to train, validate and test on",
    "D705": "channels of numbers, with their mean and spread in training",
    "D801": "images or features to train on",
    "D802": "captions of each image",
    "D803": "features that never change",
}
SOURCE = {"lengths": "D301", "vocabulary": "D401", "unknown": "D402"}
WRITTEN = {"lengths": "D302", "vocabulary": "D403", "unknown": "D404"}
SHOWN = 5
RARE = 10
UNEQUAL = 10
MANY_UNKNOWN = 0.1
FAR_OFF = 3


@dataclass(frozen=True)
class Report:
    """All findings in order of their numbers, every rejected row, and the sha256 of each file."""

    findings: list[Finding]
    rejected: list[RejectedRow]
    fingerprints: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "findings": [finding._asdict() for finding in self.findings],
            "rejected": [row._asdict() for row in self.rejected],
            "files": self.fingerprints,
        }


def check(
    config: Config, path: str | Path, *, valid: str | Path | None = None, test: str | Path | None = None
) -> Report:
    """Read and part the data as training would, and look at it.

    Rows from which training could not start are reported too. Raises DataError where there is nothing to look at:
    a file cannot be read, lacks a column, or has no usable row.
    """
    if is_stream(config, path):
        return _check_stream(gather_texts(config, path, valid=valid, test=test), config)
    gathered = gather(config, path, valid=valid, test=test)
    if isinstance(gathered, GatheredSeries):
        found, rejected = check_series(gathered, config)
        return Report(found, rejected, gathered.fingerprints)
    if isinstance(gathered, GatheredNumbers):
        return _check_numbers(gathered, config)
    try:
        prepared = encode(gathered, config)
    except DataError as error:
        return _cannot_start({part: len(table.rows) for part, table in gathered.files.items()}, gathered, error)
    leaks = overlaps(_parts(prepared), prepared.tokeniser)
    findings = [
        *_rows({part: len(examples) for part, examples in _parts(prepared).items()}, prepared, leaks=leaks),
        *_answers(prepared),
        *_tokens(prepared),
        *_repeats(prepared, leaks=leaks),
    ]
    return Report(sorted(findings, key=_number), prepared.rejected, prepared.fingerprints)


def _check_stream(gathered: GatheredTexts, config: Config) -> Report:
    try:
        prepared = encode_texts(gathered, config)
    except DataError as error:
        notes = [Finding("D103", "note", note) for note in gathered.notes]
        could_not = Finding("D601", "error", f"training could not start: {error}")
        return Report([*notes, could_not], gathered.rejected, gathered.fingerprints)
    findings = sorted(stream_findings(gathered, prepared), key=_number)
    return Report(findings, prepared.rejected, prepared.fingerprints)


def _check_numbers(gathered: GatheredNumbers, config: Config) -> Report:
    try:
        prepared = prepare_numbers(gathered, config)
    except DataError as error:
        return _cannot_start({part: len(file.samples) for part, file in gathered.files.items()}, gathered, error)
    found = [
        *_rows({part: len(rows) for part, rows in _parts(prepared).items()}, prepared, leaks=prepared.leaks),
        *_answers(prepared),
        *numbers_findings(prepared),
        *(Finding("D502", "warning", leak) for leak in prepared.leaks),
    ]
    return Report(sorted(found, key=_number), prepared.rejected, prepared.fingerprints)


def _cannot_start(used: Mapping[str, int], gathered: Gathered | GatheredNumbers, error: DataError) -> Report:
    found = [*_rows(used, gathered), Finding("D601", "error", f"training could not start: {error}")]
    return Report(found, gathered.rejected, gathered.fingerprints)


def _number(finding: Finding) -> str:
    return finding.number


def _parts(prepared: Prepared | PreparedNumbers) -> dict[str, Any]:
    return {"train": prepared.train, "valid": prepared.valid, "test": prepared.test}


def _rows(used: Mapping[str, int], found: _Noted, *, leaks: Sequence[str] = ()) -> Iterator[Finding]:
    rejected = len(found.rejected)
    grave: Level = "error" if rejected > sum(used.values()) else "warning"
    parts = ", ".join(f"{count:,} {part}" for part, count in used.items())
    yield Finding(
        "D101", grave if rejected else "ok", f"{sum(used.values()):,} rows used ({parts}), {rejected:,} rejected"
    )
    for row in found.rejected[:SHOWN]:
        yield Finding("D102", grave, f"{row.file}, line {row.line}: {row.reason}")
    if rejected > SHOWN:
        yield Finding("D102", grave, f"and {rejected - SHOWN:,} more; --json lists them all")
    for note in found.notes:
        if note not in leaks:
            yield Finding("D103", "note", note)


def _answers(prepared: Prepared | PreparedNumbers) -> Iterator[Finding]:
    if isinstance(prepared, Prepared) and isinstance(prepared.targets, CaptionTargets):
        return caption_findings(prepared, prepared.targets)
    if isinstance(prepared, Prepared) and isinstance(prepared.targets, TextTargets):
        return _copies(prepared.train)
    if isinstance(prepared, Prepared) and isinstance(prepared.targets, TagTargets):
        return _tags(prepared)
    assert isinstance(prepared.targets, Targets)
    return _numbers(prepared, prepared.targets) if prepared.targets.problem == "squared" else _classes(prepared)


def _copies(train: Sequence[Example]) -> Iterator[Finding]:
    same = [example for example in train if example.text.strip() == example.target_text]
    if same:
        level: Level = "warning" if 2 * len(same) > len(train) else "note"
        share = f"{len(same):,} of {len(train):,} training rows have a target that equals their source"
        yield Finding("D206", level, f'{share}, such as line {same[0].line}: "{same[0].text.strip()[:60]}"')


def _tags(prepared: Prepared) -> Iterator[Finding]:
    counts = _tag_counts(prepared, prepared.train)
    spans = ", which mark spans" if isinstance(prepared.targets, TagTargets) and prepared.targets.has_spans else ""
    yield Finding("D201", "ok", f"{len(counts)} tags{spans}: {_most(counts)}")
    rare = [tag for tag, count in counts.items() if count < RARE]
    if rare:
        yield Finding("D203", "warning", f"{len(rare)} tags stand at fewer than {RARE} training words: {_first(rare)}")
    for part in ("valid", "test"):
        examples = _parts(prepared)[part]
        missing = [tag for tag, count in _tag_counts(prepared, examples).items() if not count]
        if examples and missing:
            yield Finding("D205", "note", f"{len(missing)} tags do not occur in {part}: {_first(missing)}")


def _most(counts: Counter[str]) -> str:
    """The most frequent ones with their numbers."""
    more = f" and {len(counts) - 20} more" if len(counts) > 20 else ""
    return ", ".join(f"{label} {count:,}" for label, count in counts.most_common(20)) + more


def _tag_counts(prepared: Prepared, examples: Sequence[Example]) -> Counter[str]:
    labels = prepared.targets.labels
    counts = Counter(dict.fromkeys(labels, 0))
    counts.update(labels[tag] for row in examples if isinstance(row.target, list) for tag in row.target)
    return counts


def _classes(prepared: Prepared | PreparedNumbers) -> Iterator[Finding]:
    counts = _label_counts(prepared, prepared.train)
    yield Finding("D201", "ok", f"{len(counts)} classes ({prepared.targets.problem}): {_most(counts)}")
    rare = [label for label, count in counts.items() if count < RARE]
    if rare:
        yield Finding("D203", "warning", f"{len(rare)} classes have fewer than {RARE} training rows: {_first(rare)}")
    (most, high), (least, low) = counts.most_common()[0], counts.most_common()[-1]
    if high >= UNEQUAL * max(low, 1):
        advice = "accuracy will flatter; see macro_f1, or set class_weights"
        yield Finding("D204", "warning", f"{most} has {high:,} rows, {least} {low:,}: {advice}")
    for part in ("valid", "test"):
        examples = _parts(prepared)[part]
        missing = [label for label, count in _label_counts(prepared, examples).items() if not count]
        if examples and missing:
            yield Finding("D205", "warning", f"{len(missing)} classes do not occur in {part}: {_first(missing)}")


def _label_counts(prepared: Prepared | PreparedNumbers, examples: Sequence[Example | NumericExample]) -> Counter[str]:
    labels = prepared.targets.labels
    counts = Counter(dict.fromkeys(labels, 0))
    for example in examples:
        if isinstance(example.target, list):
            counts.update(label for label, given in zip(labels, example.target, strict=True) if given)
        elif isinstance(example.target, int):
            counts[labels[example.target]] += 1
    return counts


def _numbers(prepared: Prepared | PreparedNumbers, targets: Targets) -> Iterator[Finding]:
    numbers = [targets.to_unit(example.target) for example in prepared.train if isinstance(example.target, float)]
    spread = f"mean {targets.mean:.6g}, standard deviation {targets.scale:.6g}"
    yield Finding("D202", "ok", f"target numbers from {min(numbers):.6g} to {max(numbers):.6g}, {spread}")


def _tokens(prepared: Prepared) -> Iterator[Finding]:
    parts = _parts(prepared)
    seen = isinstance(prepared.targets, CaptionTargets)
    if not seen:
        texts = {part: [example.ids for example in examples] for part, examples in parts.items()}
        yield from _side(texts, len(prepared.vocabulary), SOURCE)
    if isinstance(prepared.targets, TextTargets):
        written = {part: [written_ids(example) for example in examples] for part, examples in parts.items()}
        yield from _side(written, len(prepared.targets.vocabulary), WRITTEN)
        if not seen:
            yield from _ratios(prepared.train)


def _side(parts: Mapping[str, list[list[int]]], entries: int, numbers: Mapping[str, str]) -> Iterator[Finding]:
    """Lengths, vocabulary and unknown tokens of what is read, or of what is written."""
    lengths = sorted(map(len, parts["train"]))
    shown = ", ".join(f"{percent} % up to {_percentile(lengths, percent):,}" for percent in (50, 95, 99))
    what = "target" if numbers is WRITTEN else "row"
    yield Finding(numbers["lengths"], "ok", f"tokens in a training {what}: {shown}, the longest {lengths[-1]:,}")
    of_targets = " of targets" if numbers is WRITTEN else ""
    yield Finding(numbers["vocabulary"], "ok", f"{entries:,} entries in the vocabulary{of_targets}")
    for part in ("valid", "test"):
        ids = Counter(token for row in parts[part] for token in row)
        if ids:
            rate = ids[UNKNOWN] / ids.total()
            level: Level = "warning" if rate > MANY_UNKNOWN else "ok"
            where = f"the targets of {part}" if numbers is WRITTEN else part
            yield Finding(numbers["unknown"], level, f"{rate:.2%} of the tokens in {where} are unknown to training")


def _ratios(train: Sequence[Example]) -> Iterator[Finding]:
    """How much longer targets are than sources, and the rows where that is far from usual: shifted lines show so."""
    ratios = sorted(len(written_ids(example)) / len(example.ids) for example in train)
    usual = _percentile(ratios, 50)
    spread = f"1 % below {_percentile(ratios, 1):.2f}, 1 % above {_percentile(ratios, 99):.2f}"
    yield Finding("D303", "ok", f"{usual:.2f} tokens of target for each of its source in half of the rows, {spread}")
    # The usual length of a short text is uncertain: a few tokens more or less are no sign.
    off = {
        example.line: (len(written_ids(example)) + FAR_OFF) / (usual * len(example.ids) + FAR_OFF) for example in train
    }
    far = [example for example in train if not 1 / FAR_OFF < off[example.line] < FAR_OFF]
    if far:
        far.sort(key=lambda example: -abs(math.log(off[example.line])))
        lines = [f"line {e.line} ({len(e.ids):,} tokens to {len(written_ids(e)):,})" for e in far[:SHOWN]]
        listed = ", ".join(lines) + (" ..." if len(far) > SHOWN else "")
        text = (
            f"{len(far):,} training rows are over {FAR_OFF} times as long or short as usual for their source: {listed}"
        )
        yield Finding("D304", "note", text)


def _repeats(prepared: Prepared, *, leaks: Sequence[str]) -> Iterator[Finding]:
    for leak in leaks:
        yield Finding("D502", "warning", leak)
    if isinstance(prepared.targets, CaptionTargets):
        return  # an image has as many captions as people wrote
    texts = [example.text.strip() for example in prepared.train]
    first: dict[str, str] = {}
    targets: dict[str, set[str]] = {}
    for key, text, example in zip(as_read(texts, prepared.tokeniser), texts, prepared.train, strict=True):
        targets.setdefault(first.setdefault(key, text), set()).add(example.target_text or repr(example.target))
    repeated = len(texts) - len(targets)
    if repeated:
        yield Finding("D501", "note", f"{repeated:,} training rows repeat the text of another")
    torn = [text for text, answers in targets.items() if len(answers) > 1]
    if torn:
        text = f'{len(torn):,} training texts have different targets in different rows, such as "{torn[0][:60]}"'
        yield Finding("D503", "note" if prepared.targets.problem == "text" else "warning", text)


def _percentile(ascending: list[Amount], percent: int) -> Amount:
    """The smallest value that at least `percent` of the values do not exceed."""
    return ascending[-(-len(ascending) * percent // 100) - 1]


def _first(labels: list[str]) -> str:
    return ", ".join(sorted(labels)[:SHOWN]) + (" ..." if len(labels) > SHOWN else "")
