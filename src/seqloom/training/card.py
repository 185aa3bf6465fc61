"""The model card: what a stranger must know before trusting the model."""

from typing import Any

from seqloom import __version__
from seqloom.bundle import AnyBundle, Bundle, NumbersBundle, SeriesBundle
from seqloom.data.caption_targets import CaptionTargets
from seqloom.data.next_targets import NextTargets
from seqloom.data.text_targets import AnyTargets, TextTargets
from seqloom.nn import summary
from seqloom.training.metrics import beside_baselines, with_interval


def card_of(bundle: AnyBundle, history: list[dict[str, Any]]) -> str:
    """README.md of a trained model, whatever it reads."""
    if isinstance(bundle, NumbersBundle):
        return numbers_card(bundle, history)
    return series_card(bundle, history) if isinstance(bundle, SeriesBundle) else model_card(bundle, history)


def model_card(bundle: Bundle, history: list[dict[str, Any]]) -> str:
    """README.md of a trained model, in Markdown: what it does, on what it was trained, how well, and its limits."""
    settings, targets = bundle.config.model, bundle.targets
    if isinstance(targets, CaptionTargets):
        reading = f"{targets.sight} seen"
    else:
        reading = "both directions" if settings.bidirectional else "one direction"
    writes, tags, goes_on = (targets.problem == problem for problem in ("text", "tags", "next"))
    by_letters = tags and settings.characters
    does = "writes" if writes else "tags" if tags else "answers"
    named = f"goes on with `{bundle.input}`" if goes_on else f"reads `{bundle.input}` and {does} `{bundle.target}`"
    lines = [
        f"# A model that {named}",
        "",
        f"{'Writes' if goes_on else does.capitalize()}: {_answers(targets)}.",
        f"Made by seqloom {__version__}: {settings.num_layers} layer(s) of {settings.cell}, "
        f"{settings.hidden_size} units, {reading}, {summary(bundle.model).total:,} parameters, "
        f"{len(bundle.vocabulary.known):,} known tokens, "
        f"{len(history)} epoch(s).",
        *[f"Attention: {settings.attention}."] * writes,
        *[f"Characters: {'read too' if settings.characters else 'not read'}; output: {settings.output}."] * tags,
        "",
        *_use_and_evidence(bundle, '--text "..."'),
        "",
        "## Limits",
        "It knows the words and the kind of text it was trained on; on other texts its answers mean little. "
        + (
            "What it writes may sound right and be wrong. "
            if writes or goes_on
            else "The probabilities are not calibrated. "
        )
        + f"Unknown words are {'read by their characters alone' if by_letters else 'all read as one'}.",
    ]
    return "\n".join(lines) + "\n"


def series_card(bundle: SeriesBundle, history: list[dict[str, Any]]) -> str:
    """README.md of a trained forecaster: what it reads and forecasts, on what it was trained, how well, its limits."""
    settings, targets, metrics = bundle.config.model, bundle.targets, bundle.metrics
    reader = targets.reader
    steps = f"steps of {targets.frequency}" if targets.frequency is not None else "steps"
    origins = f"{metrics.get('origins', 0):,} forecasts of {metrics.get('series', 0):,} series. "
    band = f"The band between the outer quantiles should hold {targets.band:.0%} of the values. "
    lines = [
        f"# A model that forecasts `{bundle.target}`",
        "",
        f"Reads up to {reader.context:,} {steps} and forecasts the next {reader.horizon:,}: the median and the "
        f"quantiles {', '.join(f'{level:g}' for level in targets.quantiles)}.",
        f"Made by seqloom {__version__}: {settings.num_layers} layer(s) of {settings.cell}, "
        f"{settings.hidden_size} units, {summary(bundle.model).total:,} parameters, {len(history)} epoch(s).",
        "",
        *_use_and_evidence(bundle, "FILE"),
        *(["", origins + band * (len(targets.quantiles) > 1)] if "origins" in metrics else []),
        "",
        "## Limits",
        "It knows series like those it was trained on. It forecasts that what repeated goes on to repeat: what has "
        "never happened in training it does not see coming, and its quantiles do not allow for it.",
    ]
    return "\n".join(lines) + "\n"


def numbers_card(bundle: NumbersBundle, history: list[dict[str, Any]]) -> str:
    """README.md of a model that answers once for a series or a row of numbers."""
    settings, layout = bundle.config.model, bundle.reader.layout
    reading = f" of {settings.cell}, {'both directions' if settings.bidirectional else 'one direction'}"
    channels = f"{len(layout.inputs):,} number(s) a {'row' if layout.dense else 'step'}: {layout.listed}"
    lines = [
        f"# A model that reads {'rows' if layout.dense else 'series'} of numbers and answers `{bundle.target}`",
        "",
        f"Answers: {_answers(bundle.targets)}. Reads {channels}.",
        f"Made by seqloom {__version__}: {settings.num_layers} {'dense ' * layout.dense}layer(s)"
        f"{'' if layout.dense else reading}, {settings.hidden_size} units, {summary(bundle.model).total:,} parameters, "
        f"{len(history)} epoch(s).",
        "",
        *_use_and_evidence(bundle, "FILE"),
        "",
        "## Limits",
        "It knows numbers like those it was trained on, in the same units, the steps of series at the same distance: "
        "each channel is normalised by its mean and spread in training. The probabilities are not calibrated.",
    ]
    return "\n".join(lines) + "\n"


def _use_and_evidence(bundle: AnyBundle, given: str) -> list[str]:
    """How it is asked, what it was trained on, and how good it is."""
    use = ["## Use", "```", f"seqloom predict FOLDER {given}", "```"]
    data = [f"- {name}: sha256 {digest}" for name, digest in bundle.data.items()]
    return [*use, "", "## Data", *data, "", "## Scores", *_scores(bundle.metrics)]


def _answers(targets: AnyTargets) -> str:
    if isinstance(targets, TextTargets | NextTargets):
        return (
            f"text, {targets.tokeniser.kind} by {targets.tokeniser.kind}, of {len(targets.vocabulary.known):,} tokens"
        )
    if targets.problem == "squared":
        return "a number"
    more = f" and {len(targets.labels) - 20} more" if len(targets.labels) > 20 else ""
    return ", ".join(targets.labels[:20]) + more


def _scores(metrics: dict[str, Any]) -> list[str]:
    if "metrics" not in metrics:
        return ["not evaluated yet"]
    split = metrics.get("split", "valid")
    lines = [f"On the {split} rows (95 % interval in brackets):", "", "| | " + " | ".join(metrics["metrics"]) + " |"]
    lines.append("| --- " * (len(metrics["metrics"]) + 1) + "|")
    for name, scores in beside_baselines(metrics).items():
        cells = [with_interval(scores, metric, digits=4) for metric in metrics["metrics"]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines + ([] if split == "test" else ["", "These rows also chose the epoch: the model's score flatters."])
