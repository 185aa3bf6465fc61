"""The Python face: `train`, `load`, and a `Model` that predicts and evaluates. The commands print what these return."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqloom.bundle import AnyBundle, SeriesBundle, load_bundle
from seqloom.config import load_config
from seqloom.data import Example, NextTargets, Rejected, read_table, table_of_texts
from seqloom.errors import ConfigError, DataError
from seqloom.inference import answer_table, encode, forecast_answers, series_of_numbers
from seqloom.lens import (
    AttentionMap,
    RegionMap,
    SeriesView,
    Surprises,
    TagTable,
    attention_map,
    region_map,
    series_view,
    surprises,
    tag_table,
)
from seqloom.nn import Summary, summary
from seqloom.training import (
    Report,
    about,
    compare,
    evaluate_series,
    evaluate_stream,
    score_rows,
    settings_of,
    train_model,
)
from seqloom.training.start import changed, check_belong, check_decoding, check_language


class Model:
    """A trained model: texts in, answers out; or series in, forecasts out."""

    def __init__(self, bundle: AnyBundle) -> None:
        self.bundle = bundle

    def predict(
        self,
        texts: str | Iterable[str | Sequence[str]] | Mapping[str, Iterable[float | None]],
        *,
        suggest: int | None = None,
        show: Callable[[str], None] | None = None,
    ) -> list[dict[str, Any]]:
        """One answer for each text, in order: `{"input", "prediction", "probabilities"}`, as `answer_table` says.

        A model that tags words takes lists of words too, and cuts a text into words itself. One that writes captions
        takes the names of image or .npy files, or lists of numbers where it was trained on features.

        A text that cannot be read keeps its place: `{"input", "error"}`. A model that writes texts gives with `suggest`
        so many short ones that differ: one as the prediction, the others as alternatives. A forecaster takes the values
        of each series by its name, None where one is missing, and gives `{"series", "forecast", "quantiles"}`. A model
        that goes on with texts gives what it writes to `show` at once, bit by bit.
        """
        if isinstance(self.bundle, SeriesBundle):
            return list(forecast_answers(self.bundle, series_of_numbers(texts)))
        given = [texts] if isinstance(texts, str) else list(texts)
        table = table_of_texts(given, column=self.bundle.input)
        return list(answer_table(self.bundle, table, suggest=suggest, show=show))

    def predict_file(self, path: str | Path, *, suggest: int | None = None) -> list[dict[str, Any]]:
        """One answer for each row of a file that has the input column, in order; a forecaster's for each series.

        Raises DataError.
        """
        return list(answer_table(self.bundle, read_table(path, only=[self.bundle.input]), suggest=suggest))

    def with_decoding(self, overrides: Iterable[str]) -> "Model":
        """This model with settings of how texts are written changed, such as "decoding.beam=1".

        Raises ConfigError for any other setting, for one that would change nothing, and where the model writes no
        texts.
        """
        given = list(overrides)
        if not given:
            return self
        before = self.bundle.config
        config = load_config(None, given, base=before.model_dump())
        if (
            isinstance(self.bundle, SeriesBundle)
            or self.bundle.targets.problem not in ("text", "next")
            or config.model_copy(update={"decoding": before.decoding}) != before
        ):
            raise ConfigError(
                f"{', '.join(given)}: only the settings of [decoding] can still be changed, of a model that writes "
                "texts. Train a model with the others."
            )
        asked = changed(config.decoding, since=before.decoding)
        check_belong(self.bundle.targets.task, "decoding", asked)
        if self.bundle.targets.task == "generate":
            check_language(config)
        check_decoding(config.decoding, config.model, asked=asked)
        return Model(self.bundle._replace(config=config))

    def evaluate(self, path: str | Path, *, history: str | Path | None = None) -> dict[str, Any]:
        """The metrics of the task on a file with input and target column, beside the answer of one who never looks.

        The linear baseline stands there too where this is the very file it was scored on when the model was trained.
        A forecaster is scored from rolling origins at the end of each series; where `history` is given, a file with the
        steps before those of `path`, on the steps of `path`. Raises DataError where no row can be used.
        """
        if isinstance(self.bundle.targets, NextTargets):
            return evaluate_stream(self.bundle, path)
        started = time.perf_counter()
        if isinstance(self.bundle, SeriesBundle):
            return evaluate_series(self.bundle, path, history=history)
        if history is not None:
            raise ConfigError("history: only a forecaster needs the steps before those it is scored on.")
        table = read_table(path, only=[self.bundle.input, self.bundle.target])
        rows = encode(self.bundle, table, with_target=True)
        used = [row for row in rows if isinstance(row, Example)]
        rejected = [row for row in rows if isinstance(row, Rejected)]
        if not used:
            why = f": line {rejected[0].line}: {rejected[0].reason}" if rejected else ""
            raise DataError(f"{path}: no row can be used{why}")
        found = score_rows(self.bundle, used)
        scores = found.to_dict()
        targets, constant = self.bundle.targets, self.bundle.constant
        baselines = compare(targets, constant, used, learn_from=None, report=lambda event: None)
        if table.fingerprint == self.bundle.metrics.get("fingerprint"):
            baselines |= self.bundle.metrics.get("baselines", {})
        return {
            "task": self.bundle.targets.task,
            "intervals": scores.pop("intervals"),
            "metrics": scores,
            **about(targets, used),
            **found.details,
            "baselines": baselines,
            "rows": {"used": len(used), "rejected": len(rejected)},
            "rejected": [{"line": row.line, "reason": row.reason} for row in rejected],
            "seconds": round(time.perf_counter() - started, 3),
        }

    def look(
        self, text: str, *, series: str | None = None
    ) -> AttentionMap | RegionMap | SeriesView | Surprises | TagTable:
        """What a model that writes texts writes for `text`, and to what of it each token attended; of a tagger the
        likeliest tags of each word; of a model that goes on with texts how much each token of `text` surprised it, and
        what it expected; of one that writes captions, where `text` is the file of an image, to which regions of it each
        word attended.

        Of a forecaster `text` is a file, and what is seen the end of a series of it, the first one where `series` does
        not name another, and what is forecast of it. Raises DataError for a text or a file that cannot be read,
        ConfigError for a model that has nothing to show.
        """
        if isinstance(self.bundle, SeriesBundle):
            return series_view(self.bundle, text, series=series)
        if series is not None:
            raise ConfigError("series: this model reads texts. Only a forecaster reads several series.")
        if isinstance(self.bundle.targets, NextTargets):
            return surprises(self.bundle, text)
        if self.bundle.targets.problem == "tags":
            return tag_table(self.bundle, text)
        if self.bundle.targets.task == "caption":
            return region_map(self.bundle, text)
        return attention_map(self.bundle, text)

    def __repr__(self) -> str:
        bundle = self.bundle
        total = self.summary().total
        return f"Model({bundle.input} -> {bundle.target}, {bundle.config.model.cell}, {total:,} parameters)"

    @property
    def metrics(self) -> dict[str, Any]:
        """What the training run measured at its end."""
        return self.bundle.metrics

    def summary(self) -> Summary:
        """Where the parameters are, and the arithmetic that gives their number."""
        return summary(self.bundle.model)


def train(
    data: str | Path,
    *,
    task: str | None = None,
    input: str | None = None,
    target: str | None = None,
    out: str | Path | None = None,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    report: Report = lambda event: None,
) -> Model:
    """Train a model on a CSV, TSV, JSONL, Parquet, CoNLL or text file and leave it in the folder `out`.

    What is not given of task, input and target is inferred. `config` is a TOML file; `settings` such as
    `{"model.cell": "gru"}` go over it. Raises SeqloomError: DataError, ConfigError, TrainingError, Interrupted.
    """
    named = {**(settings or {}), "task": task, "data.input": input, "data.target": target}
    folder = Path(out) if out is not None else free_folder(Path("runs") / stem(data))
    ready = load_config(config, named=named, base=settings_of(folder) if resume else None)
    return Model(train_model(ready, data, folder, valid=valid, test=test, resume=resume, report=report))


def load(folder: str | Path) -> Model:
    """Load a trained model, running no code of it. Raises BundleError."""
    return Model(load_bundle(folder))


def stem(data: str | Path) -> str:
    """`reviews` for `data/reviews.csv.gz`: what a run on this file is called."""
    return Path(data).name.partition(".")[0] or "model"


def free_folder(wanted: Path) -> Path:
    """`wanted`, or with -2, -3 ... where that is taken already."""
    names = [wanted] + [wanted.with_name(f"{wanted.name}-{number}") for number in range(2, 10_000)]
    return next(folder for folder in names if not folder.exists())
