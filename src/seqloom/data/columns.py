"""Which column is read, which is learned, and what kind of task that is; what is not given is inferred, and said."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seqloom.config import Task
from seqloom.data.captions import Captioned, find_captions, require_captions
from seqloom.data.pairs import infer_pair
from seqloom.data.rows import Table, Value
from seqloom.data.tag_columns import Tagged, find_tags, require_tags
from seqloom.data.targets import is_number
from seqloom.errors import DataError

TARGET_NAMES = ("label", "labels", "target", "class", "sentiment", "category", "y", "rating", "score", "stars")
SEPARATORS = ("|", ";", ",")
SPLIT_COLUMNS = ("split", "set", "fold")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
}
MOST_CLASSES = 1_000
FEW = 30
# The tasks whose columns are told by what they hold: how they are found where the task is given, and where it is not.
TOLD: dict[Task, tuple[Callable[..., Tagged | Captioned], Callable[..., Tagged | Captioned | None]]] = {
    "caption": (require_captions, find_captions),
    "tag": (require_tags, find_tags),
}


@dataclass(frozen=True)
class Columns:
    """The part each column plays; `split` is None where no column says which rows are for what."""

    task: Task
    input: str
    target: str
    split: str | None
    notes: tuple[str, ...]


def infer_columns(
    table: Table,
    *,
    task: Task | None = None,
    input: str | None = None,
    target: str | None = None,
    label_separator: str | None = None,
) -> Columns:
    """Find the columns and the task that are not given, and say in `notes` what was found and why.

    Raises DataError for a column that is not there, and where nothing can be inferred.
    """
    notes: list[str] = []
    _check_given(table, input, target)
    split = split_column(table, taken=(input, target))
    if split:
        notes.append(f"split: {split} (column that says train, valid or test)")
    free = [column for column in table.columns if column not in (input, target, split)]
    if task == "generate":
        read = input or _longest_text(table, free)
        notes += [f"input: {read} (longest text column)"] * (input is None)
        return Columns("generate", read, read, split, tuple(notes))
    for own, (require, find) in TOLD.items():
        look = find if task is None else require
        if task in (None, own) and (found := look(table, free, input=input, target=target)):
            return Columns(own, found.input, found.target, split, (*notes, *found.notes, *_why(own, found, task)))
    if task == "translate" or (
        task is None and _is_named_pair(table, free, input=input, target=target, label_separator=label_separator)
    ):
        return _as_pair(table, free, task, input=input, target=target, split=split, notes=notes)
    said = list(notes)
    read = input or _longest_text(table, [column for column in free if column not in targets_by_name(table, free)[:1]])
    if input is None:
        said.append(f"input: {read} (longest text column)")
    learned = target
    if learned is None:
        learned, reason = _likely_target(table, [column for column in free if column != read], task=task)
        said.append(f"target: {learned} ({reason})")
    if task is None:
        task, reason = _likely_task(table, learned, label_separator=label_separator)
        if task == "translate":
            return _as_pair(table, free, None, input=input, target=target, split=split, notes=notes)
        said.append(f"task: {task} ({reason})")
    if task == "classify" and label_separator is None and (cut := _likely_separator(table.values(learned))):
        said.append(f'{learned}: looks like several labels a row. To learn each: --set label_separator="{cut}"')
    return Columns(task, read, learned, split, tuple(said))


def _check_given(table: Table, input: str | None, target: str | None) -> None:
    """Raise DataError for a column that is not there, or is both."""
    for column, option in ((input, "--input"), (target, "--target")):
        if column is not None:
            table.position(column, option=option)
    if input is not None and input == target:
        raise DataError(f'column "{input}" cannot be both input and target. Give two columns of {_listed(table)}.')


def read_split(value: Value) -> str | None:
    """train, valid or test, as a split column says it in one of the usual words; None where it does not."""
    return SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else None


def _is_named_pair(
    table: Table, free: list[str], *, input: str | None, target: str | None, label_separator: str | None
) -> bool:
    """Whether names tell two columns of a translation, no column is named like a label, and the answers are texts."""
    try:
        pair = infer_pair(table, free, input=input, target=target)
    except DataError:
        return False
    labels = [column for column in targets_by_name(table, free) if column not in pair]
    task, _ = find_task(table.values(pair.target), pair.target, label_separator=label_separator)
    return pair.named and not labels and task == "translate"


def _as_pair(
    table: Table,
    free: list[str],
    task: Task | None,
    *,
    input: str | None,
    target: str | None,
    split: str | None,
    notes: list[str],
) -> Columns:
    pair = infer_pair(table, free, input=input, target=target)
    said = [*notes, *pair.notes]
    if task is None:
        said.append(f"task: translate ({pair.target} holds mostly different texts)")
    return Columns("translate", pair.input, pair.target, split, tuple(said))


def _why(own: Task, found: Tagged | Captioned, task: Task | None) -> list[str]:
    """What the task was inferred from, where it was."""
    told = {
        "tag": f"{found.input} and {found.target} are lists of equal lengths",
        "caption": f"{found.input} names images or features, {found.target} tells of them",
    }
    return [f"task: {own} ({told[own]})"] * (task is None)


def _likely_separator(values: Sequence[Value]) -> str | None:
    """What may stand between labels: in a fifth of the values or more, and cut by it there are fewer different ones."""
    texts = Counter(value for value in values if isinstance(value, str))
    for separator in SEPARATORS:
        cut = sum(count for text, count in texts.items() if separator in text)
        pieces = {piece.strip() for text in texts for piece in text.split(separator)}
        if 5 * cut >= texts.total() > 0 and len(pieces) < len(texts):
            return separator
    return None


def split_column(table: Table, *, taken: tuple[str | None, ...]) -> str | None:
    """The column that says of each row whether it is for training, validation or test; None where there is none."""
    for column in table.columns:
        if column.lower() in SPLIT_COLUMNS and column not in taken:
            parts = {read_split(value) for value in set(table.values(column))}
            if None not in parts and "train" in parts:
                return column
    return None


def targets_by_name(table: Table, columns: list[str]) -> list[str]:
    """The columns with a name that targets often have, the most telling name first."""
    named = [column for column in columns if column.lower() in TARGET_NAMES]
    return sorted(named, key=lambda column: TARGET_NAMES.index(column.lower()))


def _longest_text(table: Table, columns: list[str]) -> str:
    lengths = {column: _mean_text_length(table.values(column)) for column in columns}
    if not any(lengths.values()):
        raise DataError(f"no text column to read was found in {_listed(table)}. Name it with --input.")
    return max(lengths, key=lambda column: lengths[column])


def _mean_text_length(values: Sequence[Value]) -> float:
    """How long the texts of a column are on average; numbers and lists are not texts."""
    return sum(len(v) for v in values if isinstance(v, str) and not is_number(v)) / len(values)


def _likely_target(table: Table, columns: list[str], *, task: Task | None) -> tuple[str, str]:
    if named := targets_by_name(table, columns):
        return named[0], "by its name"
    if len(columns) == 1:
        return columns[0], "the only other column"
    values = {column: table.values(column) for column in columns}
    if task == "regress":
        numeric = [column for column in columns if all(map(is_number, values[column]))]
        if len(numeric) == 1:
            return numeric[0], "the only column of numbers"
    else:
        counts = {column: len(set(values[column])) for column in columns}
        repeated = [column for column in columns if 2 <= counts[column] <= min(MOST_CLASSES, len(table.rows) // 2)]
        if repeated:
            best = min(repeated, key=lambda column: counts[column])
            return best, f"fewest different values: {counts[best]}"
    raise DataError(f"what to learn cannot be inferred from {_listed(table)}. Name the column with --target.")


def _likely_task(table: Table, target: str, *, label_separator: str | None) -> tuple[Task, str]:
    values = table.values(target)
    task, reason = find_task(values, target, label_separator=label_separator)
    if task is None:
        raise DataError(
            f'{table.path.name}: column "{target}" has {len(set(values))} different values in {len(values)} rows, '
            f"neither few labels nor numbers nor mostly different texts{reason}. "
            "Give --task classify, regress, translate, tag or caption, or another column with --target."
        )
    return task, reason


def find_task(values: Sequence[Value], target: str, *, label_separator: str | None) -> tuple[Task | None, str]:
    """The task that such targets belong to and why; None where they could be of several."""
    if label_separator or any(isinstance(value, tuple) for value in values):
        return "classify", f"{target} holds several labels a row"
    distinct = {value for value in values if value}
    mostly_distinct = len(distinct) > max(2, len(values) / 2)
    numbers = sum(map(is_number, distinct))
    if numbers > 0.9 * len(distinct) and (numbers > FEW or mostly_distinct):
        return "regress", f"{target} holds {numbers} different numbers"
    if len(distinct) <= MOST_CLASSES and not mostly_distinct:
        return "classify", f"{target} holds {len(distinct)} different values"
    if cut := _likely_separator(values):
        return None, f' (labels cut by "{cut}"? Then set label_separator)'
    return ("translate", f"{target} holds mostly different texts") if mostly_distinct else (None, "")


def _listed(table: Table) -> str:
    return f"{table.path.name} (columns: {', '.join(table.columns)})"
