"""One training run from files to a trained model: prepare, fit, compare honestly, save."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seqloom.bundle import Bundle, build_model, load_bundle, save_bundle
from seqloom.config import Config
from seqloom.data import Example, Prepared, prepare, read_table
from seqloom.errors import BundleError, MissingExtraError, TrainingError
from seqloom.files import lock_folder
from seqloom.inference import decide, logits_of
from seqloom.models import LossOptions, ManyToOne
from seqloom.nn import summary
from seqloom.text import read_vectors
from seqloom.training.baselines import constant_target, decide_constant, decide_linear
from seqloom.training.card import model_card
from seqloom.training.checkpoints import Checkpoint, load_latest
from seqloom.training.loop import Report, Said, fit, in_own_unit
from seqloom.training.metrics import Scores, score
from seqloom.training.state import TrainingState

REFUSED_SHOWN = 5


def train_model(
    config: Config,
    data: str | Path,
    folder: Path,
    *,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    resume: bool = False,
    report: Report = lambda event: None,
) -> Bundle:
    """Train on the rows of `data` and leave the model in `folder`, which is a model from the first validation on.

    With `resume` the training in `folder` goes on as if it had never stopped. Raises DataError for the data,
    TrainingError where `folder` holds something else, Interrupted where the user stops it.
    """
    _open(folder, resume=resume)
    prepared = prepare(config, data, valid=valid, test=test)
    if not prepared.valid:
        raise TrainingError(
            "no validation rows: the best epoch cannot be chosen. Give --valid FILE, more rows, or a larger "
            "data.valid_fraction."
        )
    for note in [*prepared.notes, *_refused(prepared)]:
        report(Said(note))
    with lock_folder(folder):
        checkpoint = _open(folder, resume=resume)  # again: another training may have come while the data was read
        about: dict[str, Any] = {"settings": config.model_dump(), "data": prepared.fingerprints}
        _check_same(checkpoint, about)
        state = _start(config, prepared, report=report)
        if checkpoint is not None:
            state.restore(checkpoint)
            for skipped in checkpoint.skipped:
                report(Said(skipped))
            if state.finished and (finished := _finished_bundle(folder, epochs=state.epoch)) is not None:
                report(Said(f"the training in {folder} has finished already, and nothing was changed"))
                return finished
            report(Said(f"resumed at step {state.step:,}, in epoch {state.epoch + 1}"))

        def publish(scores: Scores) -> None:
            metrics = {"task": prepared.targets.task, "split": "valid", "metrics": scores.metrics}
            _save(folder, _bundle(state, prepared, metrics), state.history)

        fit(state, prepared, folder, about=about, publish=publish, report=report)
        bundle = _bundle(state, prepared, {})
        metrics = _final_metrics(bundle, prepared, state, report=report)
        scored = test if prepared.test else valid
        if scored is not None:
            metrics["fingerprint"] = read_table(scored).fingerprint
        bundle = bundle._replace(metrics=metrics)
        _save(folder, bundle, state.history)
    return load_bundle(folder)


def compare(
    targets_of: Bundle, train: list[Example], rows: list[Example], *, linear: bool, report: Report
) -> dict[str, dict[str, Any]]:
    """The baselines' scores on `rows`: the constant answer, and the linear model where scikit-learn is there."""
    targets = targets_of.targets
    truth = in_own_unit(targets, torch.tensor([example.target for example in rows]))
    constant = decide_constant(targets, targets_of.constant, rows=len(rows))
    scores = {"mean" if targets.problem == "squared" else "majority": score(targets, truth, constant)}
    if linear:
        try:
            name = "tfidf_ridge" if targets.problem == "squared" else "tfidf_logreg"
            scores[name] = score(targets, truth, decide_linear(targets, train, rows))
        except MissingExtraError as missing:
            report(Said(str(missing)))
    return {name: _plain(each) for name, each in scores.items()}


def score_rows(bundle: Bundle, rows: list[Example]) -> Scores:
    """The model's scores on rows that have targets."""
    truth = in_own_unit(bundle.targets, torch.tensor([example.target for example in rows]))
    probabilities = bundle.model.probabilities(logits_of(bundle.model, [example.ids for example in rows]))
    return score(bundle.targets, truth, decide(bundle.targets, probabilities))


def _plain(scores: Scores) -> dict[str, Any]:
    return {**scores.metrics, "intervals": {name: list(ends) for name, ends in scores.intervals.items()}}


def _refused(data: Prepared) -> list[str]:
    """The first rows that could not be used, and where the others are listed."""
    lines = [f"{row.file}, line {row.line}: not used: {row.reason}" for row in data.rejected[:REFUSED_SHOWN]]
    more = len(data.rejected) - len(lines)
    return lines + [f"{more:,} more rows not used: seqloom check --json lists them all"] * (more > 0)


def _open(folder: Path, *, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from; None for a new training. Nothing that is there is ever trained over."""
    trained = any((folder / "checkpoints").glob("step-*"))
    if resume and trained:
        return load_latest(folder)
    if trained:
        raise TrainingError(
            f"{folder} holds a training already, and it is not overwritten. Go on with --resume, remove the folder, "
            "or choose another with --out."
        )
    if (folder / "manifest.json").exists():
        raise TrainingError(
            f"{folder} holds a model without the checkpoints of its training, and it is not overwritten. "
            "Remove the folder, or choose another with --out."
        )
    if resume:
        raise TrainingError(f"{folder} holds no checkpoint to resume from. Train without --resume first.")
    return None


def _finished_bundle(folder: Path, *, epochs: int) -> Bundle | None:
    """The model in `folder`, where it has had its final evaluation after `epochs` and is whole."""
    try:
        bundle = load_bundle(folder)
    except BundleError:
        return None  # the checkpoint has all that is needed to write it again
    return bundle if bundle.metrics.get("epochs") == epochs else None


def _check_same(checkpoint: Checkpoint | None, about: Mapping[str, Any]) -> None:
    """Raise TrainingError unless settings and data are those the checkpoint was made with."""
    if checkpoint is None:
        return
    before = {**_flat(checkpoint.state.get("settings")), **_flat(checkpoint.state.get("data"), "file ")}
    now = {**_flat(about["settings"]), **_flat(about["data"], "file ")}
    changed = [
        f"{key} was {before.get(key)!r}, now {now.get(key)!r}"
        for key in now | before
        if before.get(key) != now.get(key)
    ]
    changed = [line for line in changed if not line.startswith("training.max_minutes ")]
    if changed:
        raise TrainingError(
            "this is not the training that the checkpoint belongs to: "
            + "; ".join(changed)
            + ". Resume with the same data and settings, or train anew with another --out."
        )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _start(config: Config, data: Prepared, *, report: Report) -> TrainingState:
    """An untrained model and its optimizer: a function of settings, data and seed."""
    torch.manual_seed(config.seed)
    model = build_model(config, vocabulary=data.vocabulary, targets=data.targets)
    if config.data.vectors is not None:
        _use_vectors(model, config.data.vectors, data, report=report)
    device = _device(config)
    model.to(device)
    batches = -(-len(data.train) // config.training.batch_size)
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
    """rows / (classes x rows of the class): every class weighs the same in sum."""
    if config.model.class_weights == "none" or data.targets.problem not in ("binary", "multiclass"):
        return None
    counts = torch.tensor([example.target for example in data.train]).bincount(minlength=len(data.targets.labels))
    return len(data.train) / (len(counts) * counts.clamp(min=1).float())


def _use_vectors(model: ManyToOne, path: str, data: Prepared, *, report: Report) -> None:
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


def _bundle(state: TrainingState, data: Prepared, metrics: dict[str, Any]) -> Bundle:
    """The best model so far, with all it needs to answer."""
    model = build_model(state.config, vocabulary=data.vocabulary, targets=data.targets)
    model.load_state_dict(state.best)
    return Bundle(
        config=state.config,
        input=data.columns.input,
        target=data.columns.target,
        tokeniser=data.tokeniser,
        vocabulary=data.vocabulary,
        targets=data.targets,
        constant=constant_target(data.targets, data.train),
        data=data.fingerprints,
        model=model.eval(),
        metrics=metrics,
    )


def _save(folder: Path, bundle: Bundle, history: list[dict[str, Any]]) -> None:
    save_bundle(folder, bundle, history=history, card=model_card(bundle, history))


def _final_metrics(bundle: Bundle, data: Prepared, state: TrainingState, *, report: Report) -> dict[str, Any]:
    """The honest comparison: model and baselines on the test rows, or on the validation rows if there are none."""
    started = time.perf_counter()
    split, rows = ("test", data.test) if data.test else ("valid", data.valid)
    linear = bundle.config.training.baselines
    if linear:
        report(Said("comparing with TF-IDF + a linear model"))
    scores = score_rows(bundle, rows)
    tokens = sum(len(example.ids) for example in data.train)
    return {
        "task": bundle.targets.task,
        "metrics": scores.metrics,
        "intervals": {name: list(ends) for name, ends in scores.intervals.items()},
        "baselines": compare(bundle, data.train, rows, linear=linear, report=report),
        "split": split,
        "rows": {
            "used": len(rows),
            "train": len(data.train),
            "valid": len(data.valid),
            "test": len(data.test),
            "rejected": len(data.rejected),
        },
        "seconds": round(state.seconds + time.perf_counter() - started, 3),
        "parameters": summary(bundle.model).total,
        "tokens_per_second": round(tokens * state.epoch / max(state.seconds, 1e-9)),
        "epochs": state.epoch,
    }
