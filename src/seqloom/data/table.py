"""Any data file to one table: CSV, TSV, JSONL or Parquet, each also packed with gzip.

The ending of the name says which it is; where it says nothing, the content does.
"""

from pathlib import Path

from seqloom.data.content import PARQUET, decode, read_bytes
from seqloom.data.delimited import read_delimited
from seqloom.data.objects import read_jsonl, read_parquet
from seqloom.data.rows import Parsed, Table
from seqloom.errors import DataError

JSONL_ENDINGS = (".jsonl", ".ndjson", ".json")
TSV_ENDINGS = (".tsv", ".tab")


def read_table(path: str | Path, *, encoding: str = "utf-8") -> Table:
    """Read a whole file; each record becomes a row or is reported in `rejected` with its line and reason.

    Raises DataError where the file is missing, empty, damaged, not text, or has no header or no usable row.
    """
    path = Path(path)
    raw = read_bytes(path)
    parsed = _parse(raw.data, path, encoding=encoding)
    if not parsed.rows:
        raise DataError(f"{path.name} has no row that can be used. {_why_none(parsed)}")
    return Table(path, *parsed, fingerprint=raw.fingerprint)


def _parse(data: bytes, path: Path, *, encoding: str) -> Parsed:
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    name = path.name
    if ending == ".parquet" or (ending != ".csv" and data.startswith(PARQUET)):
        return read_parquet(data, name=name)
    content = decode(data, encoding=encoding, name=name)
    known = ending in (".csv", *TSV_ENDINGS)
    if ending in JSONL_ENDINGS or (not known and content.text.lstrip().startswith("{")):
        parsed = read_jsonl(content, name=name)
    else:
        parsed = read_delimited(content, name=name, delimiter="\t" if ending in TSV_ENDINGS else None)
    if content.undecodable:
        parsed.notes.append(
            f"some rows are not {encoding}. If the file was written in another encoding, save it as UTF-8."
        )
    return parsed


def _why_none(parsed: Parsed) -> str:
    if not parsed.rejected:
        return "Below the first line with the column names at least one row is needed."
    first = parsed.rejected[0]
    return f"All {len(parsed.rejected)} are at fault, the first in line {first.line}: {first.reason}."
