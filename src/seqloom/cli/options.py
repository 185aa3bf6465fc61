"""The options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path,
    typer.Argument(
        help="CSV, TSV, JSONL, Parquet, CoNLL, .ts, IDX or text file, also .gz; or the stem of line-aligned files",
        metavar="DATA",
    ),
]
ModelFolder = Annotated[Path, typer.Argument(help="folder of a trained model", metavar="MODEL")]
Task = Annotated[
    str | None,
    typer.Option(help="classify, regress, translate, tag, generate, caption or forecast; inferred where not given"),
]
Input = Annotated[
    str | None, typer.Option(help="column to read, or columns of numbers with commas; inferred where not given")
]
Target = Annotated[str | None, typer.Option(help="column to learn; inferred where not given")]
Valid = Annotated[Path | None, typer.Option(help="file with validation rows")]
Test = Annotated[Path | None, typer.Option(help="file with test rows")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="settings, a TOML file")]
Set = Annotated[list[str] | None, typer.Option("--set", help="one setting, as section.key=value; repeatable")]
Json = Annotated[bool, typer.Option("--json", help="print JSON for a machine to read")]
