"""Which rows are for training, which choose the best epoch, which give the final figures.

Equal texts stay together, or the figures would measure memory; labels keep their shares, and none is lost to training.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from seqloom.errors import DataError

Stratum = str | tuple[str, ...]


class Split(NamedTuple):
    """The row numbers of each part, from 0, ascending; each row is in exactly one."""

    train: list[int]
    valid: list[int]
    test: list[int]


class _Group(NamedTuple):
    """Rows of one text; `stratum` is the rarest of their strata, `labels` are all of their labels."""

    rows: list[int]
    stratum: Stratum
    labels: frozenset[str]


def split_rows(
    texts: Sequence[Hashable],
    strata: Sequence[Stratum] | None,
    *,
    valid_fraction: float,
    test_fraction: float,
    seed: int,
) -> Split:
    """Part the rows by `seed`: equal texts on one side, each label of `strata` (one a row, or several) in its share.

    A part whose fraction is above 0 gets at least one row. Raises DataError where there are too few different texts, or
    the two fractions leave nothing to train on.
    """
    if valid_fraction + test_fraction >= 1:
        raise DataError(
            f"valid_fraction {valid_fraction} and test_fraction {test_fraction} leave no rows to train on. "
            "Together they must be below 1."
        )
    groups = _group(texts, strata)
    parts = 1 + (valid_fraction > 0) + (test_fraction > 0)
    if len(groups) < parts:
        raise DataError(
            f"{len(groups)} different texts cannot be parted into {parts} sets. "
            "Give more rows, or files with --valid and --test."
        )
    wanted = [max(1, round(fraction * len(texts))) if fraction else 0 for fraction in (valid_fraction, test_fraction)]
    train, valid, test = _deal(groups, wanted, seed=seed)
    _keep_labels_in_training(train, (valid, test))
    for part, goal in zip((valid, test), wanted, strict=True):
        if goal and not part:
            _fill_empty(part, train)
    return Split(*(sorted(row for group in part for row in group.rows) for part in (train, valid, test)))


def _group(texts: Sequence[Hashable], strata: Sequence[Stratum] | None) -> list[_Group]:
    """Rows of equal text, in order of their first; a group with several labels counts for the rarest of them."""
    labels: Sequence[Stratum] = strata if strata is not None else [""] * len(texts)
    rows: dict[Hashable, list[int]] = {}
    for row, text in enumerate(texts):
        rows.setdefault(text, []).append(row)
    frequency = Counter(labels)
    groups = []
    for members in rows.values():
        own = {labels[row] for row in members}
        stratum = min(own, key=lambda label: (frequency[label], _labels_of(label)))
        groups.append(_Group(members, stratum, frozenset(name for label in own for name in _labels_of(label))))
    return groups


def _deal(groups: list[_Group], wanted: list[int], *, seed: int) -> tuple[list[_Group], list[_Group], list[_Group]]:
    """Deal out stratum by stratum. The goals run on over the strata, so that rounding does not add up."""
    random = np.random.default_rng(seed)
    strata: dict[Stratum, list[_Group]] = {}
    for group in groups:
        strata.setdefault(group.stratum, []).append(group)
    total = sum(len(group.rows) for group in groups)
    train: list[_Group] = []
    kept: tuple[list[_Group], list[_Group]] = ([], [])
    filled, passed = [0, 0], 0
    for stratum in sorted(strata, key=_labels_of):
        members = strata[stratum]
        passed += sum(len(group.rows) for group in members)
        for index in random.permutation(len(members)):
            group = members[index]
            for part, goal in enumerate(wanted):
                if filled[part] + len(group.rows) <= goal * passed / total + 0.5 and filled[part] < goal:
                    kept[part].append(group)
                    filled[part] += len(group.rows)
                    break
            else:
                train.append(group)
    return train, *kept


def _keep_labels_in_training(train: list[_Group], others: Sequence[list[_Group]]) -> None:
    """Move a group into training for each label that would not be seen there."""
    seen = {label for group in train for label in group.labels}
    for part in others:
        for group in list(part):
            if not group.labels <= seen:
                part.remove(group)
                train.append(group)
                seen |= group.labels


def _fill_empty(part: list[_Group], train: list[_Group]) -> None:
    """Give an empty part the smallest group whose labels training has elsewhere too."""
    count = Counter(label for group in train for label in group.labels)
    spare = [group for group in train if all(count[label] > 1 for label in group.labels)]
    if not spare:
        raise DataError("too few rows to part: each label must occur in two different texts at least.")
    smallest = min(spare, key=lambda group: len(group.rows))
    train.remove(smallest)
    part.append(smallest)


def _labels_of(stratum: Stratum) -> tuple[str, ...]:
    return stratum if isinstance(stratum, tuple) else (stratum,)
