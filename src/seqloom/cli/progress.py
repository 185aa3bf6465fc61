"""Training as it is watched: a live table and a bar on a terminal, plain lines elsewhere. All of it on stderr."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from seqloom.cli.escape import escaped
from seqloom.cli.tables import plain_table
from seqloom.training import Event, Report, Said, Validated
from seqloom.training import Progress as Step

PLAIN_SECONDS = 30.0
WIDTH_OF_ALL = 80  # columns of a terminal in which all of a row fits
AROUND_ROWS = 8  # lines of a terminal that head, bar and prompt take


@contextlib.contextmanager
def show_training(*, notes: bool = True) -> Iterator[Report]:
    """A function to report training events to, while this context lasts; without `notes`, only figures are shown."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainLines(console, notes=notes)
        return
    with Live(console=console, refresh_per_second=8) as live:
        table = _LiveTable(live, notes=notes)
        try:
            yield table
        finally:
            table.show_all()


class _PlainLines:
    """One line for each validation, and one in between every half minute."""

    def __init__(self, console: Console, *, notes: bool) -> None:
        self.console, self.notes = console, notes
        self.last = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Said):
            if self.notes:
                self._print(escaped(event.text))
        elif isinstance(event, Validated):
            self._print("  ".join(f"{name} {value}".rstrip() for name, value in _row(event).items()))
        elif time.monotonic() - self.last > PLAIN_SECONDS:
            speed = f"{event.tokens_per_second:,.0f} tokens/s"
            self._print(f"epoch {event.epoch}  batch {event.batch}/{event.batches}  loss {event.loss:.4f}  {speed}")

    def _print(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)
        self.last = time.monotonic()


class _LiveTable:
    """The table grows by a line each validation; below it a bar for the batches of the epoch."""

    def __init__(self, live: Live, *, notes: bool) -> None:
        self.live, self.notes = live, notes
        self.rows: list[Validated] = []
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[about]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self.task = self.bar.add_task("", total=None, about="", visible=False)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Said):
            if self.notes:
                self.live.console.print(Text(escaped(event.text)))
        elif isinstance(event, Validated):
            self.rows.append(event)
            self.bar.reset(self.task, visible=False, about="")
            self.live.update(self._view())
        else:
            self._advance(event)

    def _advance(self, step: Step) -> None:
        about = f"loss {step.loss:.4f}"
        if self.live.console.width >= WIDTH_OF_ALL:
            about += f" · {step.tokens_per_second:,.0f} tokens/s"
        epoch = f"epoch {step.epoch}/{step.epochs}"
        self.bar.update(
            self.task, description=epoch, completed=step.batch, total=step.batches, about=about, visible=True
        )
        self.live.update(self._view())

    def show_all(self) -> None:
        """The table as it stays when training has ended."""
        if self.rows:
            self.live.update(self._table(self.rows))

    def _view(self) -> Group:
        fitting = max(1, self.live.console.height - AROUND_ROWS)
        return Group(self._table(self.rows[-fitting:]), self.bar) if self.rows else Group(self.bar)

    def _table(self, rows: list[Validated]) -> Table:
        left_out = ("tokens/s", "seconds") if self.live.console.width < WIDTH_OF_ALL else ()
        cells = [{name: value for name, value in _row(row).items() if name not in left_out} for row in rows]
        table = plain_table(*cells[0])
        for row, values in zip(rows, cells, strict=True):
            table.add_row(*values.values(), style="bold" if row.best else "")
        return table


def _row(row: Validated) -> dict[str, str]:
    losses = {"train loss": f"{row.train_loss:.4f}", "valid loss": f"{row.valid_loss:.4f}"}
    metrics = {name: f"{value:.4f}" for name, value in row.metrics.items()}
    speed = {"tokens/s": f"{row.tokens_per_second:,.0f}", "seconds": f"{row.seconds:,.1f}"}
    return {"epoch": f"{row.epoch}", **losses, **metrics, **speed, "best": "*" * row.best}
