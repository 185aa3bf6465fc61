"""Any data file to one table: CSV, TSV, JSONL, Parquet, CoNLL or line-aligned texts, each also packed with gzip.

The ending of the name says which it is; where it says nothing, the content does. A name that is no file may be the stem
of several that belong together line by line.
"""

from collections.abc import Collection
from pathlib import Path

from seqloom.data.aligned import find_aligned, read_aligned
from seqloom.data.conll import read_columns, read_conllu
from seqloom.data.content import PARQUET, SNIFFED, Packed, TextFile, head, open_packed
from seqloom.data.delimited import read_delimited
from seqloom.data.objects import read_jsonl, read_parquet
from seqloom.data.rows import Parsed, Table
from seqloom.errors import DataError

JSONL_ENDINGS = (".jsonl", ".ndjson", ".json")
TSV_ENDINGS = (".tsv", ".tab")
CONLL_ENDINGS = (".conllu", ".conll")


def read_table(path: str | Path, *, encoding: str = "utf-8", only: Collection[str] = ()) -> Table:
    """Read a whole file; each record becomes a row or is reported in `rejected` with its line and reason.

    `train` stands for train.de, train.en and so on where there is no file of that name: each is a column, named by its
    ending, and only those in `only` are read where it names some that are there.
    Raises DataError where the file is missing, empty, damaged, not text, or has no header or no usable row, and where
    line-aligned files differ in their number of lines.
    """
    path = Path(path)
    if not path.is_file() and (aligned := find_aligned(path, only=only)):
        parsed, fingerprint = read_aligned(aligned, encoding=encoding)
        if not parsed.rows:
            raise DataError(f"{path.name} has no line that can be used. {_why_none(parsed)}")
        return Table(path, *parsed, fingerprint=fingerprint)
    packed = open_packed(path)
    with packed.file:
        parsed = _parse(packed, path, encoding=encoding)
    if not parsed.rows:
        raise DataError(f"{path.name} has no row that can be used. {_why_none(parsed)}")
    return Table(path, *parsed, fingerprint=packed.fingerprint)


def _parse(packed: Packed, path: Path, *, encoding: str) -> Parsed:
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    name = path.name
    if ending == ".parquet" or (ending != ".csv" and packed.first.startswith(PARQUET)):
        return read_parquet(packed.file, name=name)
    text = TextFile(packed, encoding=encoding, name=name)
    known = ending in (".csv", *TSV_ENDINGS)
    if ending in CONLL_ENDINGS:
        parsed = (read_conllu if ending == ".conllu" else read_columns)(text, name=name)
    elif ending in JSONL_ENDINGS or (not known and head(text, SNIFFED).text.lstrip().startswith("{")):
        parsed = read_jsonl(text, name=name)
    else:
        parsed = read_delimited(text, name=name, delimiter="\t" if ending in TSV_ENDINGS else None)
    if text.undecodable:
        parsed.notes.append(
            f"some rows are not {encoding}. If the file was written in another encoding, save it as UTF-8."
        )
    return parsed


def _why_none(parsed: Parsed) -> str:
    if not parsed.rejected:
        return "Below the first line with the column names at least one row is needed."
    first = parsed.rejected[0]
    return f"All {len(parsed.rejected)} are at fault, the first in line {first.line}: {first.reason}."
