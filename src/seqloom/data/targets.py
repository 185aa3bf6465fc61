"""What a row should be answered with, as numbers: class numbers, label vectors or a standardised number.

Learned from the training rows alone, kept with the model, and strict: a label not trained on is an error, not a guess.
Texts as answers stand in text_targets.py.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from seqloom.config import Task
from seqloom.data.rows import Value, read_text
from seqloom.errors import DataError

Problem = Literal["binary", "multiclass", "multilabel", "squared"]
Target = int | list[int] | float
Numbers = TypeVar("Numbers")

NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
SHOWN = 10


@dataclass(frozen=True)
class Targets:
    """How target values become numbers and back.

    `labels` are the classes in order (none for squared); `mean` and `scale` standardise a number (squared only).
    """

    problem: Problem
    labels: tuple[str, ...]
    mean: float = 0.0
    scale: float = 1.0
    label_separator: str | None = None

    @classmethod
    def learn(cls, values: Iterable[Value], *, task: Task, label_separator: str | None = None) -> "Targets":
        """Learn from the target values of the training rows; several labels in a row make it multilabel.

        Raises DataError for a value that cannot be a target, and where all values are the same.
        """
        read = (read_target(value, task=task, label_separator=label_separator) for value in values)
        numbers = array("d")
        distinct: set[str | tuple[str, ...] | float]
        if task == "regress":
            numbers.extend(value for value in read if isinstance(value, float))
            distinct, rows = {min(numbers), max(numbers)} if numbers else set(), len(numbers)
        else:
            counts = Counter(read)
            distinct, rows = set(counts), counts.total()
        if len(distinct) < 2:
            raise DataError(
                f"all {rows} training rows have the target {_shown(distinct)}: there is nothing to tell apart. "
                "Give rows with at least two different targets, or another column with --target."
            )
        if task == "regress":
            mean, scale = _spread(numbers)
            return cls("squared", (), mean, scale)
        several = any(isinstance(value, tuple) for value in distinct)
        labels = sort_labels(label for value in distinct for label in _as_labels(value))
        problem: Problem = "multilabel" if several else "binary" if len(labels) == 2 else "multiclass"
        return cls(problem, labels, label_separator=label_separator)

    @property
    def task(self) -> Task:
        """The task that these targets belong to."""
        return "regress" if self.problem == "squared" else "classify"

    def encode(self, value: Value) -> Target:
        """A class number, one 0 or 1 for each label (multilabel), or the standardised number (squared).

        Raises DataError for a label that training did not see and for what is not a number.
        """
        read = read_target(value, task=self.task, label_separator=self.label_separator)
        if isinstance(read, float):
            return (read - self.mean) / self.scale
        given = _as_labels(read)
        for label in given:
            if label not in self.labels:
                raise DataError(f'label "{label}" does not occur in training (known: {_shown(self.labels)})')
        if self.problem == "multilabel":
            return [int(label in given) for label in self.labels]
        if isinstance(read, tuple):
            raise DataError(f"several labels ({_shown(given)}) where one is needed")
        return self.labels.index(read)

    def to_unit(self, numbers: Numbers) -> Numbers:
        """Standardised numbers back in their own unit: a float, or a tensor or array of any shape; its dtype stays.

        Give float64: where the mean is far above the spread (points in time), float32 cannot tell the numbers apart.
        """
        standardised: Any = numbers
        in_unit: Numbers = standardised * self.scale + self.mean
        return in_unit

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving."""
        return {
            "problem": self.problem,
            "labels": list(self.labels),
            "mean": self.mean,
            "scale": self.scale,
            "label_separator": self.label_separator,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Targets":
        """The targets that `to_dict` described. Raises DataError for any other keys and for impossible values."""
        expected = set(cls.__dataclass_fields__)
        if set(values) != expected:
            raise DataError(f"saved targets have the keys {_shown(expected)}; found: {_shown(values) or 'none'}.")
        problem, labels, separator = values["problem"], values["labels"], values["label_separator"]
        allowed = get_args(Problem)
        if problem not in allowed:
            raise DataError(f"saved targets have the problem {problem!r}; allowed: {', '.join(allowed)}.")
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise DataError("saved targets: labels must be a list of texts.")
        fewest, most = {"binary": (2, 2), "squared": (0, 0), "multilabel": (1, None)}.get(problem, (3, None))
        if len(set(labels)) != len(labels) or len(labels) < fewest or (most is not None and len(labels) > most):
            raise DataError(f"saved targets: {len(labels)} labels ({_shown(labels)}) do not fit the problem {problem}.")
        mean, scale = (_saved_number(values, name) for name in ("mean", "scale"))
        if scale <= 0:
            raise DataError(f"saved targets: scale is {scale}, but must be above 0.")
        if not (separator is None or (isinstance(separator, str) and separator)):
            raise DataError(f"saved targets: label_separator is {separator!r}, but must be a text or null.")
        return cls(problem, tuple(labels), mean, scale, separator)


def read_target(value: Value, *, task: Task, label_separator: str | None) -> str | tuple[str, ...] | float:
    """A target as it is meant: a number (regress), a text (translate), a label, or the labels of a row with several.

    Surrounding blanks do not count. Raises DataError for an empty label or text and for what is no plain finite number.
    """
    if task == "regress":
        return read_number(value)
    if task in ("translate", "generate", "caption"):
        return read_text(value, role="target").strip()
    if isinstance(value, tuple):
        return tuple(sorted({label.strip() for label in value} - {""}))
    if label_separator:
        return tuple(sorted({label.strip() for label in value.split(label_separator)} - {""}))
    label = value.strip()
    if not label:
        raise DataError("empty label")
    return label


def read_number(value: Value) -> float:
    """A finite decimal number such as -1.5 or 2e3. Raises DataError for all else: "1,5", "nan", "0x10", "1e999"."""
    if isinstance(value, str) and is_number(value):
        return float(value)
    if not isinstance(value, str):
        raise DataError("a list where a number is needed")
    if not value.strip():
        raise DataError("no number")
    hint = " (write it with a decimal point)" if DECIMAL_COMMA.fullmatch(value.strip()) else ""
    raise DataError(f'"{value.strip()[:40]}" is not a finite number{hint}')


def is_number(value: Value) -> bool:
    """Whether `read_number` takes it."""
    return isinstance(value, str) and bool(NUMBER.fullmatch(value.strip())) and math.isfinite(float(value))


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Each label once, in alphabetical order; in order of number where all are numbers."""
    distinct = sorted(set(labels))
    if all(is_number(label) for label in distinct):
        distinct.sort(key=float)
    return tuple(distinct)


def _as_labels(read: str | tuple[str, ...] | float) -> tuple[str, ...]:
    if isinstance(read, tuple):
        return read
    return (read,) if isinstance(read, str) else ()


def _spread(numbers: Sequence[float]) -> tuple[float, float]:
    """The mean and the standard deviation, summed exactly so that they do not depend on the order of rows."""
    try:
        mean = math.fsum(numbers) / len(numbers)
        scale = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))
    except OverflowError:
        mean, scale = 0.0, 0.0
    if not 0 < scale < math.inf:
        raise DataError("the spread of the target numbers is beyond what can be computed. Give them in another unit.")
    return mean, scale


def _saved_number(values: Mapping[str, Any], name: str) -> float:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"saved targets: {name} is {value!r}, but must be a finite number.")
    return float(value)


def _shown(labels: Iterable[object]) -> str:
    shown = sorted(map(str, labels))
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")
