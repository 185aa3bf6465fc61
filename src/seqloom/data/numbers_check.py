"""What was found in series and rows of numbers before anything is trained, each with the number check.py explains."""

from collections.abc import Iterator

import numpy as np

from seqloom.data.findings import Finding
from seqloom.data.numbers import SHOWN, NumbersReader
from seqloom.data.numbers_prepare import PreparedNumbers

MANY_MISSING = 0.1


def numbers_findings(prepared: PreparedNumbers) -> Iterator[Finding]:
    """Lengths, missing numbers and channels of the training samples, and samples that stand more than once."""
    train, reader, lengths = prepared.train, prepared.reader, sorted(prepared.lengths)
    if not reader.layout.dense:
        middle = lengths[len(lengths) // 2]
        said = f"{len(train):,} training series of {lengths[0]:,} to {lengths[-1]:,} steps, half of them to {middle:,}"
        yield Finding("D701", "ok", said)
    if reader.gaps:
        channels = len(reader.channels)
        missing = sum(int(np.count_nonzero(example.steps[:, channels:] == 0)) for example in train)
        share = missing / (sum(lengths) * channels)
        text = f"{missing:,} numbers ({share:.1%}) are missing in training: read as the mean, with a mark"
        yield Finding("D702", "warning" if share > MANY_MISSING else "note", text)
    yield Finding("D705", "ok", f"{len(reader.channels):,} channels, mean and spread: {_channels(reader)}")
    distinct = len({example.steps.tobytes() for example in train})
    if distinct < len(train):
        yield Finding("D501", "note", f"{len(train) - distinct:,} training samples repeat the numbers of another")


def _channels(reader: NumbersReader) -> str:
    if reader.layout.kind == "idx":
        return f"{reader.channels[0].mean:.6g} ± {reader.channels[0].scale:.6g} together"
    shown = [f"{channel.name} {channel.mean:.6g} ± {channel.scale:.6g}" for channel in reader.channels[:SHOWN]]
    return ", ".join(shown) + ", ..." * (len(reader.channels) > SHOWN)
