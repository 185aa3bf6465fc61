"""What was found in images or features and their captions, each with the number that check.py explains."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from seqloom.data.caption_targets import CaptionTargets
from seqloom.data.examples import Example
from seqloom.data.findings import Finding
from seqloom.data.prepare import Prepared


def caption_findings(prepared: Prepared, targets: CaptionTargets) -> Iterator[Finding]:
    """What is seen, how many captions each has, and captions that stand at many."""
    sight = targets.sight
    captions = Counter(row.key for row in prepared.train)
    yield Finding("D801", "ok", f"{len(captions):,} different ones to train on: {sight}{_regions(prepared, targets)}")
    counts = sorted(captions.values())
    if counts[-1] > 1:
        spread = f"{counts[0]} to {counts[-1]} captions of each, {len(prepared.train) / len(counts):.1f} on average"
        yield Finding("D802", "ok", spread)
    if sight.kind == "features" and (still := _still(prepared.train)):
        yield Finding("D803", "warning", f"{still:,} of {sight.size:,} features are the same in all training rows")


def _regions(prepared: Prepared, targets: CaptionTargets) -> str:
    if targets.sight.kind == "image":
        return ""
    regions = [len(row.source) for row in prepared.train]
    return f", {min(regions):,} to {max(regions):,} of them"


def _still(rows: Sequence[Example]) -> int:
    """How many features are the same everywhere."""
    regions = np.concatenate([row.seen.values() for row in rows if row.seen is not None])
    return int((regions.min(axis=0) == regions.max(axis=0)).sum())
