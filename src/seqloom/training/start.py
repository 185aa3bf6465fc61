"""Where a training begins: an untrained model and its optimizer, a function of settings, data and seed."""

from pathlib import Path

import torch

from seqloom.bundle import build_model
from seqloom.config import Config
from seqloom.data import Prepared
from seqloom.errors import ConfigError, TrainingError
from seqloom.models import AnyModel, LossOptions
from seqloom.nn import summary
from seqloom.text import read_vectors
from seqloom.training.events import Report, Said
from seqloom.training.state import TrainingState, batch_size_for


def start_training(config: Config, data: Prepared, *, resumed: bool, report: Report) -> TrainingState:
    """A training at its first step. Raises TrainingError for a device or vectors that cannot be used."""
    torch.manual_seed(config.seed)
    model = build_model(config, vocabulary=data.vocabulary, targets=data.targets)
    if config.data.vectors is not None and not resumed:
        _use_vectors(model, config.data.vectors, data, report=report)
    device = _device(config)
    model.to(device)
    batches = -(-len(data.train) // batch_size_for(config.training, len(data.train)))
    report(Said(f"{summary(model).total:,} parameters, {len(data.train):,} rows, {batches:,} batches an epoch"))
    weights = _class_weights(config, data)
    options = LossOptions(None if weights is None else weights.to(device), config.training.label_smoothing)
    return TrainingState(model, config, batches=batches, loss_options=options)


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
