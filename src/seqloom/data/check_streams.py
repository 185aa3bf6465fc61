"""What was found in a text that is to be gone on with: its size, its tokens, and lines that stand in it twice."""

from array import array
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from seqloom.data.findings import Finding, Level
from seqloom.data.plain_text import Piece
from seqloom.data.prepare_streams import GatheredTexts, PreparedStreams, Text
from seqloom.data.rows import RejectedRow
from seqloom.data.token_stream import TokenStream

MANY_UNKNOWN = 0.1
REJECTED_SHOWN = 5


def stream_findings(gathered: GatheredTexts, prepared: PreparedStreams) -> Iterator[Finding]:
    """All findings of a text, in no order."""
    streams = {"train": prepared.train, "valid": prepared.valid, "test": prepared.test}
    lines = ", ".join(f"{stream.texts:,} {part}" for part, stream in streams.items())
    used = sum(stream.texts for stream in streams.values())
    level: Level = "error" if len(prepared.rejected) > used else "warning" if prepared.rejected else "ok"
    yield Finding("D101", level, f"{used:,} lines used ({lines}), {len(prepared.rejected):,} rejected")
    if prepared.rejected:
        yield Finding("D102", "warning", _reasons(prepared.rejected))
    for note in prepared.notes:
        yield Finding("D103", "note", note)
    sizes = (f"{part} {len(each):,} tokens of {each.characters:,} characters" for part, each in streams.items() if each)
    yield Finding("D305", "ok", "; ".join(sizes))
    known = len(prepared.vocabulary.known)
    yield Finding("D401", "ok", f"{known + 1:,} different tokens: {known:,} known, and one for all others")
    for part, stream in streams.items():
        if stream and (part != "train" or stream.unknown):
            yield _unknown(part, stream)
    yield from _repeats(gathered.parts)


def _reasons(rejected: list[RejectedRow]) -> str:
    shown = [f"{row.file}, line {row.line}: {row.reason}" for row in rejected[:REJECTED_SHOWN]]
    more = len(rejected) - len(shown)
    return "; ".join(shown) + (f"; and {more:,} more" if more else "")


def _unknown(part: str, stream: TokenStream) -> Finding:
    rate = stream.unknown / len(stream)
    where = "training are unknown" if part == "train" else f"{part} are unknown to training"
    return Finding("D402", "warning" if rate > MANY_UNKNOWN else "ok", f"{rate:.2%} of the tokens in {where}")


def _repeats(parts: Mapping[str, Text]) -> Iterator[Finding]:
    """Lines that training has twice, and lines of validation and test that training has too; blank ones aside."""
    keys = {part: _keys(text) for part, text in parts.items()}
    train = np.unique(keys["train"])
    repeated = len(keys["train"]) - len(train)
    if repeated:
        yield Finding("D501", "note", f"{repeated:,} training lines repeat another")
    for part in ("valid", "test"):
        if part in keys and (known := int(np.isin(keys[part], train).sum())):
            yield Finding("D502", "warning", f"{known:,} of {len(keys[part]):,} {part} lines are also in train")


def _keys(text: Text) -> NDArray[np.int64]:
    """Eight bytes for each line that is not blank: equal ones for equal lines, and as good as never for others."""
    lines = (piece.text.strip() for piece in text.pieces() if isinstance(piece, Piece))
    return np.frombuffer(array("q", (hash(line) for line in lines if line)), dtype=np.int64)
