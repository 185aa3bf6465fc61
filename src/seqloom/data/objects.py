"""JSONL and Parquet: rows whose values have types, brought to the same table of texts as everything else."""

import io
import json
import re
from typing import Any

from seqloom.data.content import Content
from seqloom.data.rows import Parsed, Rejected, Row, Value, check_columns
from seqloom.errors import DataError, import_extra

MOST_KEYS = 1_000
SURROGATE = re.compile("[\ud800-\udfff]")


class _RefusedError(Exception):
    """A value or a line that has no place in a table."""


def read_jsonl(content: Content, *, name: str) -> Parsed:
    """One JSON object a line. Numbers and booleans become their JSON text; null and a missing key are empty.

    Raises DataError for a JSON array or more than 1,000 different keys.
    """
    if content.text.lstrip().startswith("["):
        raise DataError(f"{name} is one JSON array. Write one object a line (JSONL).")
    objects: list[tuple[int, dict[str, Value]]] = []
    rejected: list[Rejected] = []
    keys: dict[str, None] = {}
    blank = start = 0
    lines = content.text.split(content.line_end)
    for number, line in enumerate(lines, start=1):
        stop = start + len(line)
        if not line.strip(" \t\r"):
            blank += number < len(lines)
        elif flaw := content.flaw(start, stop):
            rejected.append(Rejected(number, flaw))
        else:
            try:
                objects.append((number, _object(line)))
                keys |= dict.fromkeys(objects[-1][1])
            except _RefusedError as refused:
                rejected.append(Rejected(number, str(refused)))
        if len(keys) > MOST_KEYS:
            raise DataError(f"{name} has more than {MOST_KEYS:,} different keys. A table with fixed columns is needed.")
        start = stop + 1
    notes = [f"{blank} blank line{'s' * (blank > 1)} passed over"] if blank else []
    for key in keys:
        if lacking := sum(key not in values for _, values in objects):
            notes.append(f'{lacking} rows have no "{key}": read as empty')
    rows = [Row(number, tuple(values.get(key, "") for key in keys)) for number, values in objects]
    return Parsed(check_columns(list(keys), name=name), rows, rejected, notes)


def read_parquet(data: bytes, *, name: str) -> Parsed:
    """Text, number, boolean, date and list-of-text columns; columns of other types are left out, and a note says so.

    Raises DataError for a damaged file and MissingExtraError without pyarrow.
    """
    arrow = import_extra("pyarrow", extra="data", purpose=f"reading the Parquet file {name}")
    parquet = import_extra("pyarrow.parquet", extra="data", purpose=f"reading the Parquet file {name}")
    try:
        table = parquet.read_table(io.BytesIO(data))
        table.validate(full=True)
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{name} is a damaged Parquet file ({error}). Write or copy it again.") from None
    kept = [field.name for field in table.schema if _is_plain(arrow.types, field.type)]
    notes = [
        f'column "{field.name}" ({field.type}) is neither text nor numbers: left out'
        for field in table.schema
        if not _is_plain(arrow.types, field.type)
    ]
    columns = check_columns(kept, name=name)
    rows: list[Row] = []
    rejected: list[Rejected] = []
    cells = [table.column(position).to_pylist() for position, n in enumerate(table.column_names) if n in kept]
    for number, values in enumerate(zip(*cells, strict=True), start=1):
        try:
            rows.append(Row(number, tuple(_plain(value, key=key) for key, value in zip(kept, values, strict=True))))
        except _RefusedError as refused:
            rejected.append(Rejected(number, str(refused)))
    return Parsed(columns, rows, rejected, notes)


def _object(line: str) -> dict[str, Value]:
    try:
        # numbers keep the digits they were written with
        value = json.loads(
            line, parse_int=str, parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys
        )
    except json.JSONDecodeError as error:
        raise _RefusedError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise _RefusedError("not a flat JSON object: nested too deeply") from None
    if not isinstance(value, dict):
        raise _RefusedError("not a JSON object")
    return {_text(key): _plain(item, key=key) for key, item in value.items()}


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise _RefusedError("a key stands twice in the object")
    return values


def _refuse_constant(constant: str) -> None:
    raise _RefusedError(f"{constant} is not a JSON number")


def _plain(value: Any, *, key: str) -> Value:
    """A value as text, or a tuple of texts. Raises _RefusedError."""
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            return tuple(_text(item) for item in value)
        raise _RefusedError(f'"{key}" is a list of other things than text or numbers')
    if isinstance(value, dict):
        raise _RefusedError(f'"{key}" is an object, not text or a number')
    return str(value)


def _text(value: str) -> str:
    if "\0" in value:
        raise _RefusedError("holds a NUL character")
    if SURROGATE.search(value):
        raise _RefusedError("holds half of a surrogate pair, which is no character")
    return value


def _is_plain(types: Any, kind: Any) -> bool:
    if types.is_list(kind) or types.is_large_list(kind):
        return bool(types.is_string(kind.value_type) or types.is_large_string(kind.value_type))
    if types.is_dictionary(kind):
        return _is_plain(types, kind.value_type)
    tests = "string", "large_string", "integer", "floating", "decimal", "boolean", "temporal", "null"
    return any(getattr(types, f"is_{test}")(kind) for test in tests)
