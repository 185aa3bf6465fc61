"""Where a training begins: an untrained model and its optimizer, a function of settings, data and seed."""

from collections.abc import Collection
from pathlib import Path

import torch

from seqloom.config import Config, DecodingSettings, ForecastSettings, ModelSettings, Settings, Task
from seqloom.data import AnyPrepared, Prepared, PreparedNumbers, PreparedSeries, PreparedStreams
from seqloom.errors import ConfigError, TrainingError
from seqloom.inference import check_decoding
from seqloom.models import AnyModel, LossOptions
from seqloom.models.build import build_for_numbers, build_forecaster, build_model
from seqloom.nn import summary
from seqloom.text import read_vectors
from seqloom.training.baselines import targets_of
from seqloom.training.events import Report, Said
from seqloom.training.state import TrainingState, batch_size_for, pace_of, windows_of

ANSWERS: tuple[Task, ...] = ("classify", "regress")
TOLD: tuple[Task, ...] = ("translate", "caption")  # what is to be written is read first
WRITES: tuple[Task, ...] = (*TOLD, "generate")
TEXTS: tuple[Task, ...] = (*ANSWERS, *WRITES, "tag")
READS: tuple[Task, ...] = (*ANSWERS, "translate", "generate", "tag", "forecast")  # step by step
# The tasks of a setting that not all have.
WHOSE: dict[str, tuple[Task, ...]] = {
    "model.pooling": ANSWERS,
    **dict.fromkeys(("model.bidirectional", "model.initial_state"), READS),
    "model.reverse_source": ("translate",),
    **dict.fromkeys(("model.attention", "model.readout"), TOLD),
    "model.tied_embeddings": WRITES,
    **dict.fromkeys(("model.output", "model.characters", "model.character_size"), ("tag",)),
    "model.softmax": ("generate",),
    "model.variational_dropout": ("generate",),
    "training.window": ("generate",),
    "training.scheduled_sampling": TOLD,
    **{f"decoding.{name}": WRITES for name in DecodingSettings.model_fields},
    "decoding.coverage_penalty": TOLD,
    "decoding.replace_unknown": ("translate",),
    **{f"forecast.{name}": ("forecast",) for name in ForecastSettings.model_fields},
    **dict.fromkeys(("model.embedding", "model.embedding_size", "model.freeze_embedding", "model.word_dropout"), TEXTS),
    **dict.fromkeys(("training.class_weights", "training.label_smoothing", "training.baselines"), TEXTS),
}
OF_DENSE = ("hidden_size", "num_layers", "dropout")  # the settings of a model that reads rows of features


def start_training(config: Config, data: AnyPrepared, *, resumed: bool, report: Report) -> TrainingState:
    """A training at its first step.

    Raises ConfigError for settings that would do nothing, TrainingError for a device or vectors that cannot be used.
    """
    check_settings(config, task=data.targets.task)
    if isinstance(data, PreparedNumbers):
        check_numbers(config.model, dense=data.reader.layout.dense)
    torch.manual_seed(config.seed)
    model: AnyModel
    if isinstance(data, PreparedSeries):
        model = build_forecaster(config, data.targets)
    elif isinstance(data, PreparedNumbers):
        model = build_for_numbers(config, reader=data.reader, targets=data.targets)
    else:
        model = build_model(config, vocabulary=data.vocabulary, targets=data.targets)
        if config.data.vectors is not None and not resumed:
            _use_vectors(model, config.data.vectors, data, report=report)
    device = _device(config)
    model.to(device)
    total = f"{summary(model).total:,} parameters"
    if isinstance(data, PreparedStreams):
        batches = len(windows_of(data.train, config.training))
        report(Said(f"{total}, {len(data.train):,} tokens, {batches:,} windows an epoch"))
    else:
        batches = -(-len(data.train) // batch_size_for(config.training, len(data.train), most=pace_of(model).rows))
        rows = "windows" if isinstance(data, PreparedSeries) else "rows"
        report(Said(f"{total}, {len(data.train):,} {rows}, {batches:,} batches an epoch"))
    weights = None if isinstance(data, PreparedSeries) else _class_weights(config, data)
    options = LossOptions(None if weights is None else weights.to(device), config.training.label_smoothing)
    if isinstance(data, PreparedStreams):  # its windows are batches already
        return TrainingState(model, config, batches=batches, loss_options=options)
    return TrainingState(model, config, batches=batches, loss_options=options, collate=data.collate)


def check_settings(config: Config, *, task: Task) -> None:
    """Raise ConfigError for a setting of model, training or decoding that the task would ignore in silence."""
    for section in ("model", "training", "decoding", "forecast"):
        check_belong(task, section, changed(getattr(config, section)))
    if task == "generate":
        check_language(config)
    if config.model.output == "crf" and config.training.label_smoothing:
        raise ConfigError("training.label_smoothing is a setting of model.output=softmax; it is crf. Leave out one.")
    if task == "forecast" and config.forecast.decoder == "recursive":
        _check_recursive(config)
    if task == "translate" and config.model.attention == "dot" and config.model.bidirectional:
        raise ConfigError(
            "model.attention=dot compares states of one size, but what is read from both sides is twice as long. "
            "Set model.bidirectional=false, or model.attention=general."
        )
    check_decoding(config.decoding, config.model, asked=changed(config.decoding))


def check_numbers(settings: ModelSettings, *, dense: bool) -> None:
    """Raise ConfigError for a setting of models of texts, or of recurrent ones where rows of features are read."""
    for name in changed(settings):
        if f"model.{name}" in WHOSE and WHOSE[f"model.{name}"] == TEXTS:
            raise ConfigError(f"model.{name} is a setting of models of texts, this one reads numbers.")
        if dense and name not in OF_DENSE:
            raise ConfigError(
                f"model.{name} is a setting of recurrent models. A row of features is read by dense layers, which "
                f"have {', '.join(OF_DENSE)}."
            )


def check_belong(task: Task, section: str, names: Collection[str]) -> None:
    """Raise ConfigError for a setting of a section that the task does not have."""
    for name in names:
        owners = WHOSE.get(f"{section}.{name}", (task,))
        if task not in owners:
            named = {TEXTS: "models of texts", READS: "models that read step by step"}
            whose = named.get(owners) or " and ".join(owners)
            raise ConfigError(f"{section}.{name} is a setting of {whose}, the task is {task}.")


def _check_recursive(config: Config) -> None:
    if config.model.bidirectional:
        raise ConfigError(
            "forecast.decoder=recursive reads on from the last step, which only one direction can. "
            "Set model.bidirectional=false, or forecast.decoder=direct."
        )
    if not config.forecast.highway:
        raise ConfigError(
            "forecast.highway is a part of forecast.decoder=direct: a recursive one has none. Leave it out."
        )


def check_language(config: Config) -> None:
    """Raise ConfigError for settings of a language model that contradict each other or do nothing."""
    if config.model.bidirectional:
        raise ConfigError("model.bidirectional: what comes next cannot be read before it is told. Leave it out.")
    if config.model.softmax == "adaptive":
        for name, given in (
            ("model.tied_embeddings", config.model.tied_embeddings),
            ("training.label_smoothing", config.training.label_smoothing),
            ("decoding.weights=int8", config.decoding.weights == "int8"),
        ):
            if given:
                raise ConfigError(f"{name} is for a full softmax, but model.softmax is adaptive. Leave out one.")


def changed(settings: Settings, *, since: Settings | None = None) -> list[str]:
    """The settings of a section that are other than `since`; than the defaults where that is not given."""
    before = type(settings)() if since is None else since
    return [name for name in type(settings).model_fields if getattr(settings, name) != getattr(before, name)]


def _device(config: Config) -> str:
    """Where to compute. Raises TrainingError where a GPU is asked for and none can be used."""
    found = torch.cuda.is_available()
    if config.device == "cuda" and not found:
        raise TrainingError("device is cuda, but this torch finds no GPU. Use --device cpu; why: seqloom doctor")
    return "cuda" if found and config.device != "cpu" else "cpu"


def _class_weights(config: Config, data: Prepared | PreparedNumbers | PreparedStreams) -> torch.Tensor | None:
    """rows / (classes x rows of the class): every class weighs the same in sum.

    Raises ConfigError where a setting for classes meets a problem that has none.
    """
    problem = data.targets.problem
    if config.training.label_smoothing and problem == "squared":
        raise ConfigError("training.label_smoothing is a setting for classes; the target is a number.")
    if config.training.class_weights == "none":
        return None
    if problem not in ("binary", "multiclass") or isinstance(data, PreparedStreams):
        raise ConfigError(f"training.class_weights is a setting for one label a row; the problem is {problem}.")
    counts = targets_of(data.train).bincount(minlength=len(data.targets.labels))
    return len(data.train) / (len(counts) * counts.clamp(min=1).float())


def _use_vectors(model: AnyModel, path: str, data: Prepared | PreparedStreams, *, report: Report) -> None:
    """Start the known tokens from a file of pretrained vectors."""
    vectors = read_vectors(path, wanted=data.vocabulary)
    table = getattr(model.tables[0], "weight", None)
    if not isinstance(table, torch.Tensor) or table.shape[1] != vectors.matrix.shape[1]:
        raise TrainingError(
            f"the vectors in {path} have {vectors.matrix.shape[1]} values. Set model.embedding_size="
            f"{vectors.matrix.shape[1]} and model.embedding=learned to use them."
        )
    rows = torch.tensor(data.vocabulary.encode(vectors.words), dtype=torch.int64)
    with torch.no_grad():
        table[rows] = torch.from_numpy(vectors.matrix)
    report(Said(f"vectors: {len(rows):,} of {len(data.vocabulary) - 2:,} known tokens found in {Path(path).name}"))
    for line, reason in vectors.rejected[:5]:
        report(Said(f"{Path(path).name}:{line}: {reason}"))
    if len(vectors.rejected) > 5:
        report(Said(f"{Path(path).name}: {len(vectors.rejected) - 5:,} more bad lines"))
