"""Training as it is watched: a live table and a bar on a terminal, plain lines elsewhere. All of it on stderr."""

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from seqloom.cli.escape import escaped
from seqloom.cli.tables import plain_table
from seqloom.training import Event, Report, Said, Validated
from seqloom.training import Progress as Step

PLAIN_SECONDS = 30.0


@contextlib.contextmanager
def show_training() -> Iterator[Report]:
    """A function to report training events to, while this context lasts."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainLines(console)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield _LiveTable(live)


class _PlainLines:
    """One line for each validation, and one in between every half minute."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Said):
            self._print(escaped(event.text))
        elif isinstance(event, Validated):
            self._print("  ".join(f"{name} {value}" for name, value in zip(_names(event), _row(event), strict=True)))
        elif time.monotonic() - self.last > PLAIN_SECONDS:
            speed = f"{event.tokens_per_second:,.0f} tokens/s"
            self._print(f"epoch {event.epoch}  batch {event.batch}/{event.batches}  loss {event.loss:.4f}  {speed}")

    def _print(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)
        self.last = time.monotonic()


class _LiveTable:
    """The table grows by a line each validation; below it a bar for the batches of the epoch."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.validated: list[Validated] = []
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[about]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self.task = self.bar.add_task("", total=None, about="", visible=False)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Said):
            self.live.console.print(Text(escaped(event.text)))
        elif isinstance(event, Validated):
            self.validated.append(event)
            self.bar.reset(self.task, visible=False, about="")
            self.live.update(self._view())
        else:
            self._advance(event)

    def _advance(self, step: Step) -> None:
        about = f"loss {step.loss:.4f} · {step.tokens_per_second:,.0f} tokens/s"
        epoch = f"epoch {step.epoch}/{step.epochs}"
        self.bar.update(
            self.task, description=epoch, completed=step.batch, total=step.batches, about=about, visible=True
        )
        self.live.update(self._view())

    def _view(self) -> Group:
        if not self.validated:
            return Group(self.bar)
        table = plain_table(*_names(self.validated[0]))
        for row in self.validated:
            table.add_row(*_row(row), style="bold" if row.best else "")
        return Group(table, self.bar)


def _names(row: Validated) -> list[str]:
    return ["epoch", "train loss", "valid loss", *row.metrics, "tokens/s", "seconds", "best"]


def _row(row: Validated) -> list[str]:
    metrics = [f"{value:.4f}" for value in row.metrics.values()]
    losses = [f"{row.train_loss:.4f}", f"{row.valid_loss:.4f}"]
    return [f"{row.epoch}", *losses, *metrics, f"{row.tokens_per_second:,.0f}", f"{row.seconds:,.1f}", "*" * row.best]
