"""One training run from files to a trained model: prepare, fit, compare honestly, save."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seqloom.bundle import AnyBundle, Bundle, NumbersBundle, SeriesBundle, load_bundle, save_bundle
from seqloom.config import Config, for_task
from seqloom.data import (
    AnyPrepared,
    PreparedNumbers,
    PreparedSeries,
    PreparedStreams,
    is_stream,
    prepare,
    prepare_streams,
)
from seqloom.data.tag_targets import TagTargets
from seqloom.data.targets import Target, Targets
from seqloom.data.text_targets import TextTargets
from seqloom.errors import BundleError, TrainingError
from seqloom.files import finish_left_over, lock_folder
from seqloom.models import Forecaster, OneAnswer
from seqloom.training.baselines import constant_target
from seqloom.training.card import card_of
from seqloom.training.checkpoints import Checkpoint, load_latest
from seqloom.training.evaluation import final_metrics
from seqloom.training.events import Report, Said
from seqloom.training.loop import fit
from seqloom.training.metrics import Scores
from seqloom.training.probe import Flow, gradients_of
from seqloom.training.start import start_training
from seqloom.training.state import TrainingState
from seqloom.training.tag_evaluation import constant_tag
from seqloom.training.text_evaluation import constant_text

REFUSED_SHOWN = 5


class Lens(NamedTuple):
    """How a trained model is looked at: the page of its report, and where the gradient of a loss goes."""

    page: Callable[[AnyBundle, list[dict[str, Any]]], str]
    flow: Flow


def train_model(
    config: Config,
    data: str | Path,
    folder: Path,
    *,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    resume: bool = False,
    report: Report = lambda event: None,
    lens: Lens | None = None,
) -> AnyBundle:
    """Train on the rows of `data` and leave the model in `folder`, which is a model from the first validation on.

    `lens` writes the report of the trained model, report.html.
    With `resume` the training in `folder` goes on as if it had never stopped. Raises DataError for the data,
    TrainingError where `folder` holds something else, Interrupted where the user stops it.
    """
    _open(folder, resume=resume)
    get_ready = prepare_streams if is_stream(config, data) else prepare
    prepared: AnyPrepared = get_ready(config, data, valid=valid, test=test)
    config = for_task(config, prepared.targets.task)
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
        state = start_training(config, prepared, resumed=checkpoint is not None, report=report)
        if checkpoint is not None:
            state.restore(checkpoint)
            for skipped in checkpoint.skipped:
                report(Said(skipped))
            if (finished := _finished_bundle(folder, state)) is not None:
                finish_left_over(folder)  # a kill while the last files went into place
                report(Said(f"the training in {folder} has finished already, and nothing was changed"))
                return finished
            report(Said(f"resumed at step {state.step:,}, in epoch {state.epoch + 1}"))

        constant = _constant(prepared)

        def publish(scores: Scores) -> None:
            metrics = {"task": prepared.targets.task, "split": "valid", "metrics": scores.metrics}
            _save(folder, _bundle(state, prepared, constant, metrics), state.history)

        fit(state, prepared, folder, about=about, publish=publish, report=report)
        bundle = _bundle(state, prepared, constant, {})
        metrics = final_metrics(bundle, prepared, state, report=report)
        if lens is not None:
            metrics |= {"gradients": gradients_of(bundle.model, prepared, state, flow=lens.flow)}
        bundle = bundle._replace(metrics=metrics)
        _save(folder, bundle, state.history, shown=None if lens is None else lens.page(bundle, state.history))
    return load_bundle(folder)


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings of the training in `folder`, to go on with. Raises TrainingError where there is none."""
    checkpoint = _open(folder, resume=True)
    settings = checkpoint.state.get("settings") if checkpoint else None
    return settings if isinstance(settings, dict) else {}


def _refused(data: AnyPrepared) -> list[str]:
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


def _finished_bundle(folder: Path, state: TrainingState) -> AnyBundle | None:
    """The model in `folder`, where training has ended, the final evaluation is done and all is whole."""
    if not (state.finished or state.out_of_time):
        return None
    try:
        bundle = load_bundle(folder)
    except BundleError:
        return None  # the checkpoint has all that is needed to write it again
    begun = state.epoch + (state.position > 0)  # an epoch that was cut for lack of time counts as one
    return bundle if bundle.metrics.get("epochs") == begun else None


def _check_same(checkpoint: Checkpoint | None, about: Mapping[str, Any]) -> None:
    """Raise TrainingError unless settings and data are those the checkpoint was made with."""
    if checkpoint is None:
        return
    trained_on = checkpoint.state.get("data")
    if isinstance(trained_on, dict) and set(trained_on) != set(about["data"]):
        raise TrainingError(
            f"the checkpoint was trained on {', '.join(trained_on)}, but {', '.join(about['data'])} is given. "
            "Resume with the same data, or train anew with another --out."
        )
    before = {**_flat(checkpoint.state.get("settings")), **_flat(trained_on, "file ")}
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


def _bundle(
    state: TrainingState, data: AnyPrepared, constant: Target | str | None, metrics: dict[str, Any]
) -> AnyBundle:
    """The best model so far, with all it needs to answer."""
    model = copy.deepcopy(state.judged).cpu()
    model.load_state_dict(state.best)
    if isinstance(data, PreparedSeries):
        assert isinstance(model, Forecaster)
        read, learned = data.columns
        return SeriesBundle(state.config, read, learned, data.targets, data.fingerprints, model.eval(), metrics)
    if isinstance(data, PreparedNumbers):
        assert isinstance(model, OneAnswer) and constant is not None and not isinstance(constant, str)
        return NumbersBundle(
            config=state.config,
            input=data.reader.layout.listed,
            target=data.target,
            reader=data.reader,
            targets=data.targets,
            constant=constant,
            data=data.fingerprints,
            model=model.eval(),
            metrics=metrics,
        )
    assert constant is not None
    return Bundle(
        config=state.config,
        input=data.columns.input,
        target=data.columns.target,
        tokeniser=data.tokeniser,
        vocabulary=data.vocabulary,
        targets=data.targets,
        constant=constant,
        data=data.fingerprints,
        model=model.eval(),
        metrics=metrics,
    )


def _constant(data: AnyPrepared) -> Target | str | None:
    """The answer of one who never looks; where texts are gone on with, the most frequent token; None of series."""
    if isinstance(data, PreparedSeries):
        return None
    if isinstance(data, PreparedNumbers):
        return constant_target(data.targets, data.train)
    if isinstance(data, PreparedStreams):
        return data.vocabulary.known[0]
    if isinstance(data.targets, TextTargets):
        return constant_text(data.train)
    if isinstance(data.targets, TagTargets):
        return constant_tag(data.train)
    assert isinstance(data.targets, Targets)
    return constant_target(data.targets, data.train)


def _save(folder: Path, bundle: AnyBundle, history: list[dict[str, Any]], *, shown: str | None = None) -> None:
    save_bundle(folder, bundle, history=history, card=card_of(bundle, history), report=shown)
