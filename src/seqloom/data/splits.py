"""Which rows are for training, which choose the best epoch, which give the final figures.

Equal texts stay together, or the figures would measure memory; labels keep their shares, and none is lost to training.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.data.kept import number_type
from seqloom.errors import DataError

Stratum = str | tuple[str, ...]
Ints = NDArray[np.integer[Any]]
Parts = NDArray[np.int8]

TRAIN, VALID, TEST = 0, 1, 2
AT_ONCE = 1 << 16  # groups that are looked at as numbers of Python


class Split(NamedTuple):
    """The row numbers of each part, from 0, ascending; each row is in exactly one."""

    train: list[int]
    valid: list[int]
    test: list[int]


class _Groups(NamedTuple):
    """Rows of one text each: the group of each row, in order of their first; of each group its size and stratum.

    `codes` are the numbers of the rows' strata, `names` the labels of each, in the order in which strata are dealt out.
    """

    of_row: Ints
    sizes: Ints
    strata: Ints
    codes: Ints
    names: list[tuple[str, ...]]

    def labels(self, asked: NDArray[np.bool_]) -> dict[int, set[str]]:
        """All labels of the rows of each group that is asked for."""
        found: dict[int, set[str]] = {}
        rows = np.flatnonzero(asked[self.of_row])
        for group, code in zip(self.of_row[rows].tolist(), self.codes[rows].tolist(), strict=True):
            found.setdefault(group, set()).update(self.names[code])
        return found


def split_rows(
    texts: Sequence[Hashable],
    strata: Iterable[Stratum] | None,
    *,
    valid_fraction: float,
    test_fraction: float,
    seed: int,
) -> Split:
    """As `deal_rows`, of texts or whatever else is the same where rows must stay together."""
    known: dict[Hashable, int] = {}
    keys = np.fromiter((known.setdefault(text, row) for row, text in enumerate(texts)), np.int64, len(texts))
    parts = deal_rows(keys, strata, valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed)
    return Split(*(np.flatnonzero(parts == part).tolist() for part in (TRAIN, VALID, TEST)))


def deal_rows(
    keys: Ints, strata: Iterable[Stratum] | None, *, valid_fraction: float, test_fraction: float, seed: int
) -> Parts:
    """The part of each row by `seed`: equal texts on one side, each label of `strata` (one a row, or several) in its
    share. `keys` are for each row the number of the first row with the same text.

    A part whose fraction is above 0 gets at least one row. Raises DataError where there are too few different texts, or
    the two fractions leave nothing to train on.
    """
    if valid_fraction + test_fraction >= 1:
        raise DataError(
            f"valid_fraction {valid_fraction} and test_fraction {test_fraction} leave no rows to train on. "
            "Together they must be below 1."
        )
    groups = _group(keys, strata)
    parts = 1 + (valid_fraction > 0) + (test_fraction > 0)
    if len(groups.sizes) < parts:
        raise DataError(
            f"{len(groups.sizes)} different texts cannot be parted into {parts} sets. "
            "Give more rows, or files with --valid and --test."
        )
    wanted = [max(1, round(fraction * len(keys))) if fraction else 0 for fraction in (valid_fraction, test_fraction)]
    dealt, order = _deal(groups, wanted, seed=seed)
    order = _keep_labels_in_training(groups, dealt, order)
    for part, goal in zip((VALID, TEST), wanted, strict=True):
        if goal and not (dealt == part).any():
            _fill_empty(groups, dealt, order, part)
    return dealt[groups.of_row]


def _group(keys: Ints, strata: Iterable[Stratum] | None) -> _Groups:
    """Rows of equal text, in order of their first; a group with several labels counts for the rarest of them."""
    kind = number_type(len(keys))
    of_row = np.cumsum(keys == np.arange(len(keys), dtype=kind), dtype=kind)
    of_row -= 1
    of_row = of_row[keys]
    sizes = np.bincount(of_row).astype(kind)
    if strata is None:
        return _Groups(of_row, sizes, np.zeros(len(sizes), np.int8), np.zeros(len(keys), np.int8), [("",)])
    numbers: dict[Stratum, int] = {}
    codes = np.fromiter((numbers.setdefault(label, len(numbers)) for label in strata), np.int32, len(keys))
    in_order = sorted(numbers, key=_labels_of)
    places = np.empty(len(numbers), np.int32)
    places[[numbers[stratum] for stratum in in_order]] = np.arange(len(numbers))
    codes = places[codes]
    names = [_labels_of(stratum) for stratum in in_order]
    frequency = np.bincount(codes)
    rarity = np.empty(len(names), np.int64)
    rarity[np.argsort(frequency, kind="stable")] = np.arange(len(names))  # of equals the first in order
    rarest = np.full(len(sizes), len(names))
    np.minimum.at(rarest, of_row, rarity[codes])
    return _Groups(of_row, sizes, np.argsort(rarity)[rarest], codes, names)


def _deal(groups: _Groups, wanted: list[int], *, seed: int) -> tuple[Parts, Ints]:
    """Deal out stratum by stratum: the part of each group, and the order in which they were dealt.

    The goals run on over the strata, so that rounding does not add up.
    """
    random = np.random.default_rng(seed)
    dealt = np.full(len(groups.sizes), TRAIN, np.int8)
    turns: list[Ints] = []
    total = len(groups.of_row)
    filled, passed = [0, 0], 0
    for stratum in np.unique(groups.strata):
        members = np.flatnonzero(groups.strata == stratum).astype(groups.of_row.dtype)
        passed += int(groups.sizes[members].sum())
        random.shuffle(members)
        turns.append(members)
        for start in range(0, len(members), AT_ONCE):
            some = members[start : start + AT_ONCE]
            for group, size in zip(some.tolist(), groups.sizes[some].tolist(), strict=True):
                for part, goal in enumerate(wanted):
                    if filled[part] + size <= goal * passed / total + 0.5 and filled[part] < goal:
                        dealt[group] = VALID + part
                        filled[part] += size
                        break
    return dealt, np.concatenate(turns)


def _keep_labels_in_training(groups: _Groups, dealt: Parts, order: Ints) -> Ints:
    """Move a group into training for each label that would not be seen there; the new order has these at its end."""
    codes = np.unique(groups.codes[dealt[groups.of_row] == TRAIN])
    seen = {name for code in codes for name in groups.names[code]}
    lacking = np.array([not seen.issuperset(names) for names in groups.names])
    if not lacking.any():
        return order
    asked = np.zeros(len(dealt), np.bool_)
    asked[groups.of_row[lacking[groups.codes]]] = True
    labels = groups.labels(asked)
    moved: list[int] = []
    for part in (VALID, TEST):
        for group in order[asked[order] & (dealt[order] == part)].tolist():
            if not labels[group] <= seen:
                dealt[group] = TRAIN
                seen |= labels[group]
                moved.append(group)
    return np.concatenate([order[~np.isin(order, moved)], np.array(moved, order.dtype)])


def _fill_empty(groups: _Groups, dealt: Parts, order: Ints, part: int) -> None:
    """Give an empty part the smallest group whose labels training has elsewhere too."""
    labels = groups.labels(dealt == TRAIN)
    count = Counter(label for own in labels.values() for label in own)
    train = order[dealt[order] == TRAIN].tolist()
    spare = [group for group in train if all(count[label] > 1 for label in labels[group])]
    if not spare:
        raise DataError("too few rows to part: each label must occur in two different texts at least.")
    dealt[min(spare, key=lambda group: int(groups.sizes[group]))] = part


def _labels_of(stratum: Stratum) -> tuple[str, ...]:
    return stratum if isinstance(stratum, tuple) else (stratum,)
