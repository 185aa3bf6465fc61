"""What was found in images or features and their captions, each with the number that check.py explains."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from seqloom.data.caption_targets import CaptionTargets
from seqloom.data.examples import Example
from seqloom.data.findings import Finding
from seqloom.data.prepare import Prepared


def caption_findings(prepared: Prepared, targets: CaptionTargets) -> Iterator[Finding]:
    """What is seen, how many captions each has, and captions that stand at many."""
    sight = targets.sight
    captions = Counter(row.key for row in prepared.train)
    yield Finding("D801", "ok", f"{len(captions):,} different {_seen(prepared, targets)} to train on")
    counts = sorted(captions.values())
    if counts[-1] > 1:
        spread = f"{counts[0]} to {counts[-1]} captions of each, {len(prepared.train) / len(counts):.1f} on average"
        yield Finding("D802", "ok", spread)
    if sight.kind == "features" and (still := _still(prepared.train)):
        yield Finding("D803", "warning", f"{still:,} of {sight.size:,} features are the same in all training rows")


def _seen(prepared: Prepared, targets: CaptionTargets) -> str:
    sight = targets.sight
    if sight.kind == "image":
        return f"images, made {sight.size} x {sight.size} pixels, {sight.across} x {sight.across} regions"
    regions = [len(row.source) for row in prepared.train]
    return f"rows of {sight.size:,} features, of {min(regions):,} to {max(regions):,} regions"


def _still(rows: list[Example]) -> int:
    """How many features are the same everywhere."""
    regions = np.concatenate([row.seen.values() for row in rows if row.seen is not None])
    return int((regions.min(axis=0) == regions.max(axis=0)).sum())
