"""JSONL and Parquet: rows whose values have types, brought to the same table of texts as everything else."""

import json
import re
from collections import Counter
from typing import IO, Any

from seqloom.data.content import SNIFFED, Blocks, head, lines
from seqloom.data.kept import each
from seqloom.data.rows import Parsed, Rejected, Row, Value, check_columns, keep_rows
from seqloom.errors import DataError, SeqloomError, import_extra

MOST_KEYS = 1_000
PARQUET_ROWS = 1 << 14  # that are read at once
SURROGATE = re.compile("[\ud800-\udfff]")


class _RefusedError(Exception):
    """A value or a line that has no place in a table."""


def read_jsonl(blocks: Blocks, *, name: str) -> Parsed:
    """One JSON object a line. Numbers and booleans become their JSON text; null and a missing key are empty.

    Raises DataError for a JSON array or more than 1,000 different keys.
    """
    if head(blocks, SNIFFED).text.lstrip().startswith("["):
        raise DataError(f"{name} is one JSON array. Write one object a line (JSONL).")
    rows = keep_rows()
    rejected: list[Rejected] = []
    having: Counter[str] = Counter()  # the rows that have each key, in order of the first of them
    blank = 0
    for line in lines(blocks):
        if not line.text.strip(" \t\r"):
            blank += not line.last
        elif line.flaw:
            rejected.append(Rejected(line.number, line.flaw))
        else:
            try:
                found = _object(line.text)
            except _RefusedError as refused:
                rejected.append(Rejected(line.number, str(refused)))
                continue
            having.update(found.keys())
            rows.append(Row(line.number, tuple(found.get(key, "") for key in having)))
            if len(having) > MOST_KEYS:
                raise DataError(
                    f"{name} has more than {MOST_KEYS:,} different keys. A table with fixed columns is needed."
                )
    notes = [f"{blank} blank line{'s' * (blank > 1)} passed over"] if blank else []
    kept, wide = rows.done(), len(having)
    for key, own in having.items():
        if lacking := len(kept) - own:
            notes.append(f'{lacking} rows have no "{key}": read as empty')
    # A key that comes up late is empty in all rows before.
    kept = each(kept, lambda row: row if len(row.values) == wide else _filled(row, wide))
    return Parsed(check_columns(list(having), name=name), kept, rejected, notes)


def read_parquet(file: IO[bytes], *, name: str) -> Parsed:
    """Text, number, boolean, date and list-of-text columns; columns of other types are left out, and a note says so.

    Raises DataError for a damaged file and MissingExtraError without pyarrow.
    """
    arrow = import_extra("pyarrow", extra="data", purpose=f"reading the Parquet file {name}")
    parquet = import_extra("pyarrow.parquet", extra="data", purpose=f"reading the Parquet file {name}")
    try:
        opened = parquet.ParquetFile(file)
        schema = opened.schema_arrow
        kept = [field.name for field in schema if _is_plain(arrow.types, field.type)]
        notes = [
            f'column "{field.name}" ({field.type}) is neither text nor numbers: left out'
            for field in schema
            if not _is_plain(arrow.types, field.type)
        ]
        columns = check_columns(kept, name=name)
        rows = keep_rows()
        rejected: list[Rejected] = []
        number = 0
        for batch in opened.iter_batches(PARQUET_ROWS):
            batch.validate(full=True)
            cells = [batch.column(place).to_pylist() for place, own in enumerate(schema.names) if own in kept]
            for values in zip(*cells, strict=True):
                number += 1
                try:
                    read = tuple(_plain(value, key=key) for key, value in zip(kept, values, strict=True))
                    rows.append(Row(number, read))
                except _RefusedError as refused:
                    rejected.append(Rejected(number, str(refused)))
    except (arrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, SeqloomError):
            raise
        raise DataError(f"{name} is a damaged Parquet file ({error}). Write or copy it again.") from None
    return Parsed(columns, rows.done(), rejected, notes)


def _filled(row: Row, wide: int) -> Row:
    return Row(row.line, (*row.values, *[""] * (wide - len(row.values))))


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
