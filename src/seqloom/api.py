"""The Python face: `train`, `load`, and a `Model` that predicts and evaluates. The commands print what these return."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqloom.bundle import AnyBundle, Bundle, NumbersBundle, SeriesBundle, load_bundle
from seqloom.config import load_config
from seqloom.data import NextTargets, Rejected, read_table, table_of_texts
from seqloom.errors import ConfigError, DataError
from seqloom.inference import (
    answer_table,
    check_decoding,
    encode,
    forecast_answers,
    numeric_answers,
    numeric_rows,
    rows_of_arrays,
    series_of_numbers,
    suggesting,
)
from seqloom.lens import (
    AttentionMap,
    NumbersReading,
    Reading,
    RegionMap,
    SeriesView,
    Surprises,
    TagTable,
    look,
    numbers_of_array,
    numbers_of_file,
    series_view,
)
from seqloom.lens.report import LENS
from seqloom.lens.saliency import LEAST_POINTS
from seqloom.models import Dense, OneAnswer
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
from seqloom.training.start import changed, check_belong, check_language


class Model:
    """A trained model: texts in, answers out; or series in, forecasts out."""

    def __init__(self, bundle: AnyBundle) -> None:
        self.bundle = bundle

    def predict(
        self,
        texts: str | Iterable[str | Sequence[str]] | Mapping[str, Iterable[float | None]] | Iterable[Any],
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
        that goes on with texts gives what it writes to `show` at once, bit by bit. A model that answers for series or
        rows of numbers takes a list of arrays, each with a step a row (time, channels).
        """
        if isinstance(self.bundle, SeriesBundle):
            return list(forecast_answers(self.bundle, series_of_numbers(texts)))
        if isinstance(self.bundle, NumbersBundle):
            self._refuse(suggest)
            most = self.bundle.config.data.max_length
            return list(numeric_answers(self.bundle, rows_of_arrays(self.bundle.reader, texts, max_length=most)))
        given = [texts] if isinstance(texts, str) else list(texts)
        table = table_of_texts(given, column=self.bundle.input)
        return list(answer_table(self.bundle, table, suggest=suggest, show=show))

    def predict_file(self, path: str | Path, *, suggest: int | None = None) -> list[dict[str, Any]]:
        """One answer for each row of a file that has the input column, in order; a forecaster's for each series.

        Raises DataError.
        """
        if isinstance(self.bundle, NumbersBundle):
            self._refuse(suggest)
            return list(numeric_answers(self.bundle, numeric_rows(self.bundle, path, with_target=False)[0]))
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
            not isinstance(self.bundle, Bundle)
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
        rows: Any  # examples of texts or of numbers, and the rejected
        if isinstance(self.bundle, NumbersBundle):
            rows, fingerprint = numeric_rows(self.bundle, path, with_target=True)
        else:
            table = read_table(path, only=[self.bundle.input, self.bundle.target])
            rows, fingerprint = encode(self.bundle, table, with_target=True), table.fingerprint
        used = [row for row in rows if not isinstance(row, Rejected)]
        rejected = [row for row in rows if isinstance(row, Rejected)]
        if not used:
            why = f": line {rejected[0].line}: {rejected[0].reason}" if rejected else ""
            raise DataError(f"{path}: no row can be used{why}")
        found = score_rows(self.bundle, used)
        scores = found.to_dict()
        targets, constant = self.bundle.targets, self.bundle.constant
        baselines = compare(targets, constant, used, learn_from=None, report=lambda event: None)
        if fingerprint == self.bundle.metrics.get("fingerprint"):
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
        self, text: Any, *, series: str | None = None, row: int | None = None, points: int | None = None
    ) -> AttentionMap | NumbersReading | Reading | RegionMap | SeriesView | Surprises | TagTable:
        """How a model that answers once came to its answer: what each token of `text` adds, what was thought as it
        arrived, gates and memory; what a model that writes texts writes for `text`, and to what of it each token
        attended; of a tagger the likeliest tags of each word; of a model that goes on with texts how much each token
        of `text` surprised it, and what it expected; of one that writes captions, where `text` is the file of an
        image, to which regions of it each word attended.

        `points` are those at which a model that answers once is asked for its gradients, at most: the more, the more
        exact is what each token or number adds.

        Of a model that answers for numbers `text` is an array (time, channels), a row of features, or a file, of which
        the series `series` is seen, or the answer number `row` of `predict`; the first one where neither is given. Of
        a forecaster it is a file too, and what is seen the end of a series of it, and what is forecast of it. Raises
        DataError for a text or a file that cannot be read, ConfigError for what the model does not have.
        """
        reads_once = isinstance(self.bundle.model, OneAnswer)
        if points is not None and (not reads_once or points < LEAST_POINTS):
            raise ConfigError(
                f"points is {points}: a whole number from {LEAST_POINTS} on, for models of classify and regress."
            )
        of_file = isinstance(self.bundle, NumbersBundle) and isinstance(text, str | Path)
        if row is not None and not of_file:
            raise ConfigError(
                f"row is {row}, but only a file of numbers that are answered once has rows to choose. Leave it out."
            )
        if isinstance(self.bundle, SeriesBundle):
            return series_view(self.bundle, text, series=series)
        if series is not None and not of_file:
            raise ConfigError(f'series is "{series}", but only a file of numbers has series to choose. Leave it out.')
        if isinstance(self.bundle, NumbersBundle):
            if of_file:
                return numbers_of_file(self.bundle, text, series=series, row=row, points=points)
            return numbers_of_array(self.bundle, text, points=points)
        return look(self.bundle, text, points=points)

    def _refuse(self, suggest: int | None) -> None:
        """Raise ConfigError for suggestions, which are texts, of a model that writes none."""
        if suggest is not None:
            suggesting(self.bundle, suggest)

    def __repr__(self) -> str:
        bundle = self.bundle
        total = self.summary().total
        kind = "dense" if isinstance(bundle.model, Dense) else bundle.config.model.cell
        return f"Model({bundle.input} -> {bundle.target}, {kind}, {total:,} parameters)"

    @property
    def reads_texts(self) -> bool:
        """Whether it answers texts; else it reads numbers, which are in files or arrays."""
        return isinstance(self.bundle, Bundle)

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
    `{"model.cell": "gru"}` go over it, and the arguments over these. Raises SeqloomError: DataError, ConfigError,
    TrainingError, Interrupted.
    """
    arguments = {"task": task, "data.input": input, "data.target": target}
    named = {**(settings or {}), **{key: value for key, value in arguments.items() if value is not None}}
    folder = Path(out) if out is not None else free_folder(Path("runs") / stem(data))
    ready = load_config(config, named=named, base=settings_of(folder) if resume else None)
    return Model(train_model(ready, data, folder, valid=valid, test=test, resume=resume, report=report, lens=LENS))


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
