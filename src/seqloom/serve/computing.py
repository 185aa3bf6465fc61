"""What the lanes compute: the rows of one or more requests in, one plain answer each out. No HTTP here."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from seqloom.bundle import AnyBundle, Bundle, NumbersBundle, SeriesBundle
from seqloom.config import DecodingSettings
from seqloom.data import Example, NumericExample, Rejected, table_of_texts
from seqloom.data.series import Series
from seqloom.data.series_table import SeriesFile
from seqloom.errors import DataError
from seqloom.inference import (
    answer_rows,
    answer_table,
    batches_within,
    complete,
    encode,
    forecast_answers,
    numeric_answers,
    read_starts,
    rows_of_arrays,
    series_of_numbers,
)
from seqloom.lens import look as look_at
from seqloom.lens import numbers_of_array, view_of
from seqloom.models import LanguageModel, Seq2Seq
from seqloom.serve.refusal import Refusal

Answer = dict[str, Any]

Show = Callable[[str], None]


class Wanted(NamedTuple):
    """A text to be gone on with, for as long as `alive` says so."""

    text: str
    alive: Callable[[], bool]


def predict(bundle: AnyBundle, inputs: Sequence[Any], *, longest: int, suggest: int | None = None) -> list[Answer]:
    """One answer for each input, in order, as `seqloom predict` gives it; `{"input", "error"}` where it cannot.

    An input is a text, of a tagger the words of one too, of a forecaster the values of a series, of a model that reads
    numbers a list of steps. More than `longest` tokens are refused. With `suggest` so many short texts that differ, of
    a model widened for that.
    """
    if isinstance(bundle, SeriesBundle):
        return _forecasts(bundle, inputs)
    if isinstance(bundle, NumbersBundle):
        read = rows_of_arrays(bundle.reader, inputs, max_length=bundle.config.data.max_length)
        rows_read = [_short_enough(row, longest) for row in read]
        return [_without_line(answer, line) for line, answer in enumerate(numeric_answers(bundle, rows_read), start=1)]
    table = table_of_texts(inputs, column=bundle.input)
    if isinstance(bundle.model, LanguageModel):
        return [_without_line(answer, line) for line, answer in enumerate(answer_table(bundle, table), start=1)]
    answers: list[Answer] = [{} for _ in inputs]
    used: list[Example] = []
    for place, row in enumerate(encode(bundle, table, with_target=False)):
        if isinstance(row, Rejected):
            answers[place] = _unread(inputs[place], row.reason)
        elif len(row.ids) > longest:
            answers[place] = _unread(
                inputs[place], f"{len(row.ids):,} tokens, at most {longest:,} are read", "too_long"
            )
        else:
            used.append(row)
    # What writes texts has rules of its own for what fits together.
    whole = [list(range(len(used)))] if used else []
    batches = whole if isinstance(bundle.model, Seq2Seq) else batches_within([len(row.ids) for row in used])
    for batch in batches:
        rows = [used[place] for place in batch]
        for row, answer in zip(rows, answer_rows(bundle, rows, suggest=suggest), strict=True):
            answers[row.line - 1] = answer
    return answers


def generate(
    bundle: Bundle, rows: Sequence[Wanted], *, decoding: DecodingSettings, seed: int, show: Show | None = None
) -> list[Answer]:
    """What is written after each text, or in answer to it: `{"prediction", "score", "tokens", "finish", ...}`.

    `show` is given what is written of a single text, bit by bit where it is gone on with. `tokens` is the number of
    those written, `finish` says whether the text ended or was cut. Where nobody wants any of them any longer, what goes
    on with texts stops. Raises DataError for a text that cannot be read.
    """
    texts = [row.text for row in rows]

    def check() -> None:
        if not any(row.alive() for row in rows):
            raise Refusal(504, "too_slow", "the time for this request is up")

    config = bundle.config.model_copy(update={"decoding": decoding, "seed": seed})
    bundle = bundle._replace(config=config)
    table = table_of_texts(texts, column=bundle.input)
    if isinstance(bundle.model, LanguageModel):
        starts = read_starts(bundle, table)
        for start in starts:
            if isinstance(start, Rejected):
                raise DataError(start.reason)
        # Each is the first text of its request: what is drawn hangs on nothing else.
        numbered = [start._replace(number=0) for start in starts if not isinstance(start, Rejected)]
        return [
            {
                "prediction": best.text,
                "score": round(best.score, 6),
                "tokens": len(best.tokens),
                "finish": "length" if len(best.tokens) >= (decoding.max_output or 0) else "end",
                "alternatives": [{"prediction": each.text, "score": round(each.score, 6)} for each in others],
            }
            for best, *others in complete(bundle, numbered, show=show, check=check)
        ]
    answers = []
    for text, row in zip(texts, encode(bundle, table, with_target=False), strict=True):
        if isinstance(row, Rejected):
            raise DataError(row.reason)
        [answer] = answer_rows(bundle, [row])
        if show is not None:
            show(text)
            show(answer["prediction"])
        answers.append({name: value for name, value in answer.items() if name != "input"})
    return answers


def look(bundle: AnyBundle, given: Any, *, longest: int) -> Answer:
    """What the model saw in one input, as plain data; of a series of numbers with `longest` steps at most.

    Raises DataError, ConfigError.
    """
    if isinstance(bundle, SeriesBundle):
        return view_of(bundle, _series(given, line=1)).to_dict()
    if isinstance(bundle, NumbersBundle):
        [row] = rows_of_arrays(bundle.reader, [given], max_length=bundle.config.data.max_length)
        row = _short_enough(row, longest)
        if isinstance(row, Rejected):
            raise DataError(row.reason)
        return numbers_of_array(bundle, given).to_dict()
    seen: Answer = look_at(bundle, given).to_dict()
    return seen


def _short_enough(row: NumericExample | Rejected, longest: int) -> NumericExample | Rejected:
    """The row, or that it is too long to be read."""
    if isinstance(row, Rejected) or len(row.steps) <= longest:
        return row
    return Rejected(row.line, f"{len(row.steps):,} steps, at most {longest:,} are read")


def _forecasts(bundle: SeriesBundle, inputs: Sequence[Any]) -> list[Answer]:
    answers: list[Answer] = [{} for _ in inputs]
    usable: list[Series] = []
    for place, values in enumerate(inputs):
        try:
            usable.append(_series(values, line=place + 1))
        except DataError as error:
            answers[place] = {"error": {"code": "unreadable", "message": str(error)}}
    forecasts = forecast_answers(bundle, SeriesFile(usable, [], []))
    for series, answer in zip(usable, forecasts, strict=True):
        answers[series.line - 1] = _without_line(answer, series.line)
    return answers


def _series(values: Any, *, line: int) -> Series:
    """The values of a series, named by its place. Raises DataError."""
    if not isinstance(values, list) or not values:
        raise DataError("a forecaster reads a list of numbers, null where one is missing")
    [series] = series_of_numbers({str(line): values}).series
    return dataclasses.replace(series, line=line)


def _without_line(answer: Answer, line: int) -> Answer:
    """An answer whose error does not count the lines of a file that is none."""
    if "error" not in answer:
        return answer
    reason = answer["error"].removeprefix(f"line {line}: ")
    return {**answer, "error": {"code": "unreadable", "message": reason}}


def _unread(given: Any, reason: str, code: str = "unreadable") -> Answer:
    return {"input": given, "error": {"code": code, "message": reason}}
