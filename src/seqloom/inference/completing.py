"""A language model at work: texts gone on with from where they begin, in the order of the rows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.bundle import Bundle
from seqloom.data import Rejected, pad
from seqloom.data.next_targets import NextTargets
from seqloom.data.rows import KINDS, Table
from seqloom.errors import ConfigError, DataError
from seqloom.models import LanguageModel, LanguageWriter
from seqloom.models.decoding import Writer, write
from seqloom.models.language_model import Going
from seqloom.shapes import Float, Int, valid_steps

BATCH = 64
ROOM = 1 << 24  # log-probabilities at once
MOST_OUTPUT = 200  # tokens, where a model that was made by hand says nothing

Show = Callable[[str], None]
Check = Callable[[], None]


class Start(NamedTuple):
    """The beginning of a text: its place among the rows, what was given, and its ids after the start of all texts."""

    number: int
    text: str
    ids: list[int]


class Completed(NamedTuple):
    """What was written after a start, its tokens, and their mean log-probability, the end's too where there is one."""

    text: str
    tokens: list[str]
    score: float


def completions(bundle: Bundle, table: Table, *, show: Show | None = None) -> Iterator[dict[str, Any]]:
    """One plain answer for each record of `table`, as `answer_table` says: what follows its text, which may be empty.

    `input` and `prediction` together are the whole text. `show` is given each text, then bit by bit what is written
    after it, then a line feed.
    """
    starts = read_starts(bundle, table)
    for first in range(0, len(starts), BATCH):
        chunk = starts[first : first + BATCH]
        whole = [start for start in chunk if isinstance(start, Start)]
        written = iter(complete(bundle, whole, show=show))
        for start in chunk:
            if isinstance(start, Rejected):
                yield {"input": _given(bundle, table, start.line), "error": f"line {start.line}: {start.reason}"}
                continue
            best, *others = next(written)
            alternatives = [{"prediction": each.text, "score": round(each.score, 6)} for each in others]
            yield {
                "input": start.text,
                "prediction": best.text,
                "score": round(best.score, 6),
                "alternatives": alternatives,
            }


def read_starts(bundle: Bundle, table: Table) -> list[Start | Rejected]:
    """The start in each record of `table`, or why it cannot be read. Raises DataError where it has not the column."""
    assert isinstance(bundle.targets, NextTargets)
    position = table.position(bundle.input, option="--input")
    found: list[tuple[int, Start | Rejected]] = [(row.line, row) for row in table.rejected]
    for number, row in enumerate(table.rows):
        value = row.values[position]
        try:
            if not isinstance(value, str):
                raise DataError(f"{KINDS.get(type(value), f'a {type(value).__name__}')} where a text is needed")
            ids = [bundle.targets.start, *bundle.targets.encode(value)]
            found.append((row.line, Start(number, value, ids)))
        except DataError as error:
            found.append((row.line, Rejected(row.line, str(error))))
    return [start for _, start in sorted(found, key=lambda each: each[0])]


@torch.inference_mode()
def complete(
    bundle: Bundle, starts: Sequence[Start], *, show: Show | None = None, check: Check | None = None
) -> list[list[Completed]]:
    """The texts written after each start, best first: one that is drawn, or as many as the settings' beam follows.

    What is drawn hangs on the seed and on the row's number; it does not depend on the other starts. `check` is called
    before each token, and ends the writing by what it raises.
    """
    model, targets, settings = bundle.model, bundle.targets, bundle.config.decoding
    assert isinstance(model, LanguageModel) and isinstance(targets, NextTargets)
    device = next(model.parameters()).device
    longest = settings.max_output or MOST_OUTPUT
    followed = 1 if settings.temperature else settings.beam
    size = 1 if show is not None else max(1, ROOM // (followed * len(targets.vocabulary)))
    found: list[list[Completed]] = []
    for first in range(0, len(starts), size):
        rows = starts[first : first + size]
        batch = pad([row.ids for row in rows]).to(device)
        writer = LanguageWriter(model, batch, barred=targets.barred, weights=settings.weights)
        shown = None if show is None else _Shown(writer, targets, rows[0], show)
        watched: Writer[Going] = writer if shown is None or followed > 1 else shown
        texts = write(
            watched if check is None else _Checked(watched, check),
            writer.start,
            [longest] * len(rows),
            settings,
            seed=bundle.config.seed,
            numbers=[row.number for row in rows],
            alternatives=followed,
        )
        found += [
            [_completed(model, targets, row, text.tokens, longest) for text in best]
            for row, best in zip(rows, texts, strict=True)
        ]
        if shown is not None:
            shown.finish(found[-1][0].text)
    return found


def _completed(model: LanguageModel, targets: NextTargets, start: Start, written: list[int], longest: int) -> Completed:
    """The text of what was written, and how likely the model finds it, whatever way it was chosen."""
    ended = targets.ends and len(written) < longest
    ids = [*start.ids, *written, *([0] if ended else [])]
    new = len(ids) - len(start.ids)
    tokens = targets.tokens(written)
    text = targets.continuation(targets.tokens(start.ids[1:]), tokens)
    return Completed(text, tokens, -losses_of(model, ids)[-new:].mean().item() if new else 0.0)


@torch.inference_mode()
def losses_of(model: LanguageModel, ids: Sequence[int]) -> Float[Tensor, " N"]:
    """-ln p of each id after the first, given those before it, on the CPU."""
    features, targets = features_of(model, ids)
    return model.losses(features, targets).cpu()


@torch.inference_mode()
def features_of(model: LanguageModel, ids: Sequence[int]) -> tuple[Float[Tensor, "N F"], Int[Tensor, " N"]]:
    """What the softmax reads before each id but the first, and these ids."""
    device, training = next(model.parameters()).device, model.training
    model.eval()
    batch = pad([list(ids)[:-1]]).to(device)
    features, _ = model(batch)
    model.train(training)
    return features[valid_steps(batch.lengths, batch.values.shape[1])], torch.tensor(list(ids)[1:], device=device)


def refuse_suggestions(suggest: int | None) -> None:
    """Raise ConfigError where suggestions are asked for, which are answers, of a model that goes on with texts."""
    if suggest is not None:
        raise ConfigError(
            "suggest: this model goes on with texts, it answers none. For several ways to go on: "
            f"--set temperature=0 --set beam={max(2, suggest)}."
        )


class _Checked:
    """A writer that asks before each step whether the text is still wanted."""

    def __init__(self, writer: Writer[Going], check: Check) -> None:
        self._writer, self._check = writer, check

    def step(self, tokens: Int[Tensor, " R"], state: Going) -> tuple[Float[Tensor, "R V"], Tensor | None, Going]:
        """As the writer's."""
        self._check()
        return self._writer.step(tokens, state)

    def select(self, state: Going, rows: Int[Tensor, " R"]) -> Going:
        """As the writer's."""
        return self._writer.select(state, rows)


class _Shown:
    """A writer of one text that shows what is written as soon as the next step reads it."""

    def __init__(self, writer: LanguageWriter, targets: NextTargets, start: Start, show: Show) -> None:
        self._writer, self._targets, self._show = writer, targets, show
        self._before = targets.tokens(start.ids[1:])
        self._written: list[int] = []
        self._shown = ""
        show(start.text)

    def step(self, tokens: Int[Tensor, " R"], state: Going) -> tuple[Float[Tensor, "R V"], None, Going]:
        """As the writer's; what was chosen at the last step is shown first."""
        if state.first is None:
            self._written.append(int(tokens[0]))
            text = self._targets.continuation(self._before, self._targets.tokens(self._written)).removesuffix("\ufffd")
            if text.startswith(self._shown):
                self._show(text[len(self._shown) :])
                self._shown = text
        return self._writer.step(tokens, state)

    def finish(self, text: str) -> None:
        """Show what is left of the text that was written in the end, and end the line."""
        self._show(text[len(self._shown) :] + "\n")

    def select(self, state: Going, rows: Int[Tensor, " R"]) -> Going:
        """As the writer's."""
        return self._writer.select(state, rows)


def _given(bundle: Bundle, table: Table, line: int) -> Any:
    position = table.columns.index(bundle.input)
    return next((row.values[position] for row in table.rows if row.line == line), None)
