"""Where a training begins: an untrained model and its optimizer, a function of settings, data and seed."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch

from seqloom.bundle import build_model
from seqloom.config import Config, DecodingSettings, ModelSettings, Settings, Task
from seqloom.data import Prepared
from seqloom.errors import ConfigError, TrainingError
from seqloom.models import AnyModel, LossOptions
from seqloom.nn import summary
from seqloom.text import read_vectors
from seqloom.training.events import Report, Said
from seqloom.training.state import TrainingState, batch_size_for, pace_of

TO_WRITE = {
    "model": ("attention", "reverse_source", "readout", "tied_embeddings"),
    "training": ("scheduled_sampling",),
    "decoding": tuple(DecodingSettings.model_fields),
}
TO_ANSWER = {"model": ("pooling",)}
TO_TAG = {"model": ("output", "characters", "character_size")}
OWNERS: tuple[tuple[tuple[Task, ...], Mapping[str, tuple[str, ...]]], ...] = (
    (("translate",), TO_WRITE),
    (("classify", "regress"), TO_ANSWER),
    (("tag",), TO_TAG),
)


def start_training(config: Config, data: Prepared, *, resumed: bool, report: Report) -> TrainingState:
    """A training at its first step.

    Raises ConfigError for settings that would do nothing, TrainingError for a device or vectors that cannot be used.
    """
    check_settings(config, task=data.targets.task)
    torch.manual_seed(config.seed)
    model = build_model(config, vocabulary=data.vocabulary, targets=data.targets)
    if config.data.vectors is not None and not resumed:
        _use_vectors(model, config.data.vectors, data, report=report)
    device = _device(config)
    model.to(device)
    size = batch_size_for(config.training, len(data.train), most=pace_of(model).rows)
    batches = -(-len(data.train) // size)
    report(Said(f"{summary(model).total:,} parameters, {len(data.train):,} rows, {batches:,} batches an epoch"))
    weights = _class_weights(config, data)
    options = LossOptions(None if weights is None else weights.to(device), config.training.label_smoothing)
    return TrainingState(model, config, batches=batches, loss_options=options)


def check_settings(config: Config, *, task: Task) -> None:
    """Raise ConfigError for a setting of model, training or decoding that the task would ignore in silence."""
    for owners, settings in OWNERS:
        for section, names in settings.items() if task not in owners else ():
            for name in changed(getattr(config, section)):
                if name in names:
                    raise ConfigError(f"{section}.{name} is a setting of {' and '.join(owners)}, the task is {task}.")
    if config.model.output == "crf" and config.training.label_smoothing:
        raise ConfigError("training.label_smoothing is a setting of model.output=softmax; it is crf. Leave out one.")
    if task == "translate" and config.model.attention == "dot" and config.model.bidirectional:
        raise ConfigError(
            "model.attention=dot compares states of one size, but what is read from both sides is twice as long. "
            "Set model.bidirectional=false, or model.attention=general."
        )
    check_decoding(config.decoding, config.model, asked=changed(config.decoding))


def check_decoding(settings: DecodingSettings, model: ModelSettings, *, asked: Collection[str]) -> None:
    """Raise ConfigError for one of the settings `asked` for that changes nothing beside the others."""
    drawn, default = settings.temperature > 0, DecodingSettings()
    for name in ("top_k", "top_p"):
        if name in asked and getattr(settings, name) != getattr(default, name) and not drawn:
            raise ConfigError(f"decoding.{name} cuts what is drawn from. Set decoding.temperature above 0 to draw.")
    if "beam" in asked and drawn and settings.beam not in (1, default.beam):
        raise ConfigError(
            "decoding.beam follows the likeliest texts, but with a decoding.temperature texts are drawn. Leave out one."
        )
    if "coverage_penalty" in asked and settings.coverage_penalty and (drawn or model.attention == "none"):
        why = "with a decoding.temperature texts are drawn" if drawn else "this model has no attention"
        raise ConfigError(f"decoding.coverage_penalty compares texts of a beam by their attention, but {why}.")


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


def _class_weights(config: Config, data: Prepared) -> torch.Tensor | None:
    """rows / (classes x rows of the class): every class weighs the same in sum.

    Raises ConfigError where a setting for classes meets a problem that has none.
    """
    problem = data.targets.problem
    if config.training.label_smoothing and problem == "squared":
        raise ConfigError("training.label_smoothing is a setting for classes; the target is a number.")
    if config.training.class_weights == "none":
        return None
    if problem not in ("binary", "multiclass"):
        raise ConfigError(f"training.class_weights is a setting for one label a row; the problem is {problem}.")
    counts = torch.tensor([example.target for example in data.train]).bincount(minlength=len(data.targets.labels))
    return len(data.train) / (len(counts) * counts.clamp(min=1).float())


def _use_vectors(model: AnyModel, path: str, data: Prepared, *, report: Report) -> None:
    """Start the known tokens from a file of pretrained vectors."""
    vectors = read_vectors(path, wanted=data.vocabulary)
    table = getattr(model.embedding, "weight", None)
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
