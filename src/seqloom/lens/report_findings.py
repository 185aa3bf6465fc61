"""What a report says, in sentences: each is computed from the numbers of the model, which bear it out."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqloom.bundle import AnyBundle
from seqloom.training.details import CLASSES

LESS_IS_BETTER = ("mae", "rmse", "mase", "smape", "perplexity", "bits_per_character", "error_rate")
SHARES = ("accuracy", "exact_match", "span_f1")
FEW = 100  # rows on which figures say little


def report_findings(bundle: AnyBundle, history: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each thing that is worth knowing; none while training goes on."""
    metrics = bundle.metrics
    if "baselines" not in metrics:
        return ["Training has not ended: these are the figures of the best epoch so far."]
    found = [*_beside_baselines(metrics), *_slices(metrics.get("details", {})), *_heart(history)]
    if metrics["rows"]["used"] < FEW:
        found.append(f"Scored on {metrics['rows']['used']} rows only: the intervals are wide.")
    if metrics.get("split") == "valid":
        found.append("There were no test rows: the rows of the scores also chose the epoch, and flatter a little.")
    return found


def _beside_baselines(metrics: Mapping[str, Any]) -> list[str]:
    """Whether the first metric with an interval is better than that of each baseline."""
    found = []
    for name, scores in metrics["baselines"].items():
        metric = next((each for each in metrics["metrics"] if each in scores), None)
        if metric is None:
            continue
        own, other = metrics["metrics"][metric], scores[metric]
        sign = -1 if metric in LESS_IS_BETTER else 1
        ends, others = metrics.get("intervals", {}).get(metric), scores.get("intervals", {}).get(metric)
        apart = ends is not None and others is not None and (ends[0] > others[1] or ends[1] < others[0])
        verdict = "better than" if sign * own > sign * other else "as good as" if own == other else "worse than"
        sure = "" if apart or own == other else ", within chance" if ends is not None and others is not None else ""
        found.append(f"{metric} {own:.3f}: {verdict} {name} ({other:.3f}){sure}.")
    return found


def _slices(details: Mapping[str, Any]) -> list[str]:
    """The weakest class, and whether long or short rows are harder, where intervals do not meet."""
    found = []
    classes = [each for each in details.get("by_class", []) if each["rows"]]
    if len(classes) > 1:
        weakest = min(classes, key=lambda each: each["f1"])
        if weakest["f1"] < 1:
            among = "class" if len(details["by_class"]) < CLASSES else f"of the {CLASSES} largest classes"
            found.append(
                f'The weakest {among} is "{weakest["label"]}": F1 {weakest["f1"]:.3f} on {weakest["rows"]:,} rows.'
            )
    spans = details.get("by_length", [])
    if len(spans) > 1:
        less = details["score"] in LESS_IS_BETTER
        ordered = sorted(spans, key=lambda each: each["score"], reverse=less)
        worst, best = ordered[0], ordered[-1]
        apart = worst["interval"][0] > best["interval"][1] or worst["interval"][1] < best["interval"][0]
        if apart:
            found.append(
                f"Rows of {worst['from']:,.0f} to {worst['to']:,.0f} tokens are the hardest ({details['score']} "
                f"{worst['score']:.3f}), those of {best['from']:,.0f} to {best['to']:,.0f} the easiest "
                f"({best['score']:.3f})."
            )
    return found


def _heart(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether training went on after it had stopped to help."""
    best = best_before_rise(history)
    if best is None:
        return []
    return [
        f"The validation loss was lowest in epoch {best['epoch']} ({best['valid_loss']:.3f}) and rose to "
        f"{history[-1]['valid_loss']:.3f}: more was learned by heart. More data, dropout or fewer epochs may help."
    ]


def best_before_rise(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The epoch with the lowest validation loss, where that of the last one is clearly higher."""
    if len(history) < 3:
        return None
    lowest = min(history, key=lambda row: float(row["valid_loss"]))
    return lowest if history[-1]["valid_loss"] > 1.05 * lowest["valid_loss"] else None
