"""Rows of a table in, one plain answer each out, whatever the task."""

from collections.abc import Iterator, Sequence
from typing import Any

from seqloom.bundle import Bundle, SeriesBundle
from seqloom.data import Album, CaptionTargets, Example, Rejected, encode_rows
from seqloom.data.captions import joined
from seqloom.data.next_targets import NextTargets
from seqloom.data.rows import Table, Value
from seqloom.data.tag_targets import TagTargets, as_text
from seqloom.data.text_targets import TextTargets
from seqloom.errors import DataError
from seqloom.inference.completing import Show, completions, refuse_suggestions
from seqloom.inference.forecasting import forecast_answers, series_of
from seqloom.inference.labels import label_answers
from seqloom.inference.tagging import tag_answers
from seqloom.inference.writing import suggesting, text_answers, within_room
from seqloom.models import Tagger, TextDecoder

CHUNK = 4096


def encode(bundle: Bundle, table: Table, *, with_target: bool) -> list[Example | Rejected]:
    """Each row of `table` as the model takes it, or the reason why it cannot be used; in the order of the file.

    Raises DataError where the input column, or with `with_target` the target column, is not there.
    """
    target = bundle.target if with_target else None
    table = joined(table, bundle.input)
    for column in (bundle.input, target):
        if column is not None and column not in table.columns:
            raise DataError(
                f'{table.path.name} has no column "{column}", which this model was trained with '
                f"(columns: {', '.join(table.columns)}). Name a column of the file so, or train a model on this file."
            )
    if isinstance(bundle.targets, CaptionTargets):
        table = Album(bundle.targets.sight).of(table, bundle.input)
    rows = encode_rows(
        table,
        input=bundle.input,
        target=target,
        tokeniser=bundle.tokeniser,
        vocabulary=bundle.vocabulary,
        targets=bundle.targets,
        max_length=bundle.config.data.max_length,
    )
    if isinstance(bundle.targets, TextTargets):
        return [within_room(row, bundle.targets, bundle.config.decoding) for row in rows]
    return rows


def answer_table(
    bundle: Bundle | SeriesBundle, table: Table, *, suggest: int | None = None, show: Show | None = None
) -> Iterator[dict[str, Any]]:
    """One plain answer for each record of `table`, in order.

    `{"input", "prediction", "probabilities": {label: p}}` for classes (the prediction of several labels is a list),
    `{"input", "prediction"}` for a number, `{"input", "prediction", "score", "alternatives"}` for a text, the score its
    mean log-probability a token, `{"input", "tokens", "tags"}` for a tagged sentence, `{"input", "error"}` for a row
    that cannot be read; its input is None where not even that is known. With `suggest` so many short texts that
    differ. A text that is gone on with may be empty; `show` is given what is written of it at once. A forecaster
    answers each series, as `forecast_answers` says. Raises DataError where the input column is not there, ConfigError
    for `suggest` where no texts are written.
    """
    if isinstance(bundle.targets, NextTargets):
        refuse_suggestions(suggest)
        yield from completions(bundle, table, show=show)
        return
    if suggest is not None:
        bundle = suggesting(bundle, suggest)
    if isinstance(bundle, SeriesBundle):
        yield from forecast_answers(bundle, series_of(bundle, table))
        return
    table = joined(table, bundle.input)
    rows = encode(bundle, table, with_target=False)
    position = table.columns.index(bundle.input)
    shown = as_text if isinstance(bundle.targets, TagTargets) else _as_given
    given = {row.line: shown(row.values[position]) for row in table.rows}
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        answers = answer_rows(bundle, [row for row in chunk if isinstance(row, Example)], suggest=suggest)
        for row in chunk:
            if isinstance(row, Example):
                yield next(answers)
            else:
                yield {"input": given.get(row.line), "error": f"line {row.line}: {row.reason}"}


def answer_rows(bundle: Bundle, used: Sequence[Example], *, suggest: int | None = None) -> Iterator[dict[str, Any]]:
    """The plain answer to each of these rows, as `answer_table` says; of no model that goes on with texts."""
    if isinstance(bundle.model, TextDecoder):
        return text_answers(bundle, used, suggest=suggest)
    if isinstance(bundle.model, Tagger):
        return tag_answers(bundle, used)
    return label_answers(bundle, used)


def _as_given(value: Value) -> Value:
    return value
