"""Results as a person reads them, and as a machine does."""

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqloom.cli.escape import escaped

if TYPE_CHECKING:
    from seqloom.data.findings import Finding

STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}
WIDE = 200


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    print(escaped(json.dumps(value, ensure_ascii=False)))


def print_scores(result: dict[str, Any]) -> None:
    """The model's metrics beside the baselines', each with its 95 % interval where there is one."""
    from seqloom.training.metrics import beside_baselines, with_interval  # a table alone needs no torch

    what = "forecasts" if result["task"] == "forecast" else "rows"
    used = f"{result['rows']['used']:,} {result.get('split', '')} {what}".replace("  ", " ")
    if "split" not in result and result["rows"]["rejected"]:
        used += f", {result['rows']['rejected']:,} not used"
    table = plain_table("", *result["metrics"], title=f"{used} · 95 % interval in brackets")
    for name, scores in beside_baselines(result).items():
        table.add_row(name, *(with_interval(scores, metric) for metric in result["metrics"]))
    print_table(table)


def print_findings(findings: Iterable["Finding"]) -> None:
    """Numbered findings: wrapped beside their numbers on a terminal, one a line elsewhere."""
    if not sys.stdout.isatty():
        for finding in findings:
            print(f"{finding.number}  {finding.level:<7}  {escaped(finding.text)}".replace("\n", " "))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row(finding.number, Text(finding.level, style=STYLES[finding.level]), Text(escaped(finding.text)))
    print_table(table)


def print_table(table: Table) -> None:
    """A table on stdout, as wide as the terminal; elsewhere as wide as it needs."""
    _Console(width=None if sys.stdout.isatty() else WIDE).print(table)


def print_text(text: Text) -> None:
    """A text with colours on stdout, wrapped as wide as the terminal; elsewhere as it is."""
    _Console(width=None if sys.stdout.isatty() else WIDE).print(text, soft_wrap=not sys.stdout.isatty())


def width_of_output() -> int:
    """The columns that `print_table` has."""
    return Console().width if sys.stdout.isatty() else WIDE


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # the command line knows what to do; rich would exit as if this were a bug


def plain_table(*columns: str, title: str | None = None) -> Table:
    """The one look of our tables: a rule under the head, numbers to the right."""
    table = Table(
        box=box.SIMPLE_HEAD, title=title, title_style="", title_justify="left", pad_edge=False, collapse_padding=True
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table
