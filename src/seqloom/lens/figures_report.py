"""Figures of a report: the curves of a training, scores beside baselines, slices, what is taken for what."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from seqloom.lens.figures import COLOURS, SHADES, Curve, Figure, axis, curves, error_bars, layout_of, named
from seqloom.lens.report_findings import best_before_rise
from seqloom.training.metrics import beside_baselines

OF_EPOCHS = ("accuracy", "macro_f1", "exact_match", "rmse", "mae", "error_rate", "perplexity", "mase", "span_f1")


def loss_figure(history: Sequence[Mapping[str, Any]]) -> Figure:
    """The loss of training and validation by epoch, and the epoch that was kept."""
    epochs = [row["epoch"] for row in history]
    lines = [
        Curve("training", epochs, [row["train_loss"] for row in history]),
        Curve("validation", epochs, [row["valid_loss"] for row in history]),
    ]
    kept = max((row["epoch"] for row in history if row["best"]), default=None)
    mark = None if kept is None else (float(kept), f"kept: epoch {kept}")
    title = f"Loss by epoch{_trend(history)}"
    return _by_epoch(curves(lines, title=title, x="epoch", y="loss", mark=mark, first=1))


def metric_figure(history: Sequence[Mapping[str, Any]]) -> Figure | None:
    """The first metric of the validation by epoch; None where there is none."""
    name = next((name for name in OF_EPOCHS if all(name in row["metrics"] for row in history)), None)
    if name is None or not history:
        return None
    line = Curve(name, [row["epoch"] for row in history], [row["metrics"][name] for row in history])
    return _by_epoch(curves([line], title=f"{name} of the validation rows by epoch", x="epoch", y=name, first=3))


def flow_figure(layers: Sequence[Mapping[str, Any]]) -> Figure | None:
    """How much of each layer's gradient is left so many steps back, by powers of ten; None where none has any."""
    lines = []
    for layer in layers:
        norms = list(itertools.takewhile(lambda norm: norm > 0, layer["carried"]))
        if len(norms) > 1:
            shares = [math.log10(norm / norms[0]) for norm in norms]
            lines.append(Curve(layer["name"] or "the layer", list(range(len(norms))), shares))
    if not lines:
        return None
    title = "The gradient by steps back, as a share of that at the end"
    return curves(lines[: len(COLOURS)], title=title, x="steps back", y="power of ten")


def scores_figure(result: Mapping[str, Any], metric: str) -> Figure:
    """One metric of the model and of the baselines as bars with their intervals."""
    rows = {name: each for name, each in beside_baselines(result).items() if metric in each}
    return _bars(
        list(rows),
        [each[metric] for each in rows.values()],
        [each.get("intervals", {}).get(metric) for each in rows.values()],
        title=f"{metric} of the model and of the baselines",
        unit=metric,
        across="",
    )


def slices_figure(slices: Sequence[Mapping[str, Any]], *, score: str, what: str) -> Figure:
    """The score of each span of rows, with its interval."""
    ends = [(_short(each["from"]), _short(each["to"])) for each in slices]
    names = [first if first == last else f"{first}-{last}" for first, last in ends]
    values, intervals = [each["score"] for each in slices], [each["interval"] for each in slices]
    return _bars(names, values, intervals, title=f"{score} by {what}", unit=score, across=what)


def confusion_figure(confusion: Mapping[str, Any]) -> Figure:
    """Each class down, what it was taken for across: rows are written, their share of the class is the colour."""
    labels, counts = confusion["labels"], confusion["counts"]
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    layout = layout_of("What each class was taken for (rows)") | {"height": 130 + 26 * len(labels)}
    layout["xaxis"] = axis("answered") | named(labels)
    layout["yaxis"] = axis("true") | named(labels) | {"autorange": "reversed"}
    cells = {"type": "heatmap", "z": shares, "zmin": 0, "zmax": 1, "colorscale": SHADES}
    return {"data": [cells | {"text": [[f"{count:,}" for count in row] for row in counts]}], "layout": layout}


def labels_figure(labels: Mapping[str, int]) -> Figure:
    """How many training rows have each label."""
    title = "Training rows by label"
    return _bars(list(labels), list(labels.values()), [], title=title, unit="rows", across="")


def _by_epoch(figure: Figure) -> Figure:
    """The curves as large as they can be: what changes is to be seen, not how far it is from zero."""
    for name in ("xaxis", "yaxis"):
        figure["layout"][name]["rangemode"] = "normal"
    return figure


def _bars(
    names: Sequence[str], values: Sequence[float], intervals: Sequence[Any], *, title: str, unit: str, across: str
) -> Figure:
    layout = layout_of(title)
    layout["xaxis"] = axis(across) | named(names)
    layout["yaxis"] = axis(unit) | {"rangemode": "tozero"}
    bars: dict[str, Any] = {"type": "bar", "x": list(range(len(names))), "y": list(values)}
    bars["marker"] = {"color": COLOURS[2]}
    if any(intervals):
        bars["error_y"] = error_bars(
            [pair or (value, value) for pair, value in zip(intervals, values, strict=True)], values
        )
    return {"data": [bars], "layout": layout}


def _trend(history: Sequence[Mapping[str, Any]]) -> str:
    """Whether the validation got worse again, in words of a title."""
    best = best_before_rise(history)
    return "" if best is None else f": from epoch {best['epoch']} on it was learned by heart"


def _short(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"
