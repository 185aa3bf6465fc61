"""The report of a model, one page that opens offline and runs no script: data, training, scores, where it errs, limits.

Written from what a model folder keeps (its metrics, history and settings), so that it needs no data and no package.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqloom.bundle import LIMITS, AnyBundle, SeriesBundle, load_bundle
from seqloom.config import Config
from seqloom.errors import BundleError
from seqloom.files import lock_folder, read_folder, replace_folder, strict_json, write_file
from seqloom.lens.figures_report import (
    confusion_figure,
    flow_figure,
    labels_figure,
    loss_figure,
    metric_figure,
    scores_figure,
    slices_figure,
)
from seqloom.lens.gradients import brief_flow
from seqloom.lens.html import Html, bullets, folded, heading, paragraph, preformatted, table
from seqloom.lens.page import Part, page
from seqloom.lens.report_findings import report_findings
from seqloom.training.card import card_of
from seqloom.training.details import CLASSES
from seqloom.training.metrics import beside_baselines, with_interval
from seqloom.training.run import Lens

REJECTED = 20


def write_report(
    folder: str | Path, *, out: Path | None = None, evaluated: Mapping[str, Any] | None = None, on: str = ""
) -> Path:
    """Write the report of the model in `folder`, there or to `out`; `evaluated` is what `evaluate` found `on` a file.

    Returns where it is. Raises BundleError, StorageError.
    """
    folder = Path(folder)
    bundle, history = load_bundle(folder), load_history(folder)
    try:
        text = report_page(bundle, history, evaluated=evaluated, on=on)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{folder}: its metrics or its history are not what this version writes ({error!r:.80}). "
            "Evaluate it anew, or copy the model again."
        ) from None
    if out is None:
        with lock_folder(folder):
            files = read_folder(folder, allowed=LIMITS)
            replace_folder(folder, files | {"report.html": text.encode()})
        return folder / "report.html"
    write_file(out, text.encode())
    return out


def load_history(folder: Path) -> list[dict[str, Any]]:
    """The epochs of the training of a model. Raises BundleError."""
    name = str(folder / "history.jsonl")
    lines = read_folder(folder, allowed=LIMITS).get("history.jsonl", b"").splitlines()
    rows = [strict_json(line, name=name) for line in lines]
    if not all(isinstance(row, dict) for row in rows):
        raise BundleError(f"{name} must have an object in each line.")
    return rows


def report_page(
    bundle: AnyBundle,
    history: Sequence[Mapping[str, Any]],
    *,
    evaluated: Mapping[str, Any] | None = None,
    on: str = "",
) -> str:
    """The page of a model, as a training leaves it in the folder."""
    reads = f"reads {bundle.input} and answers {bundle.target}"
    title = f"A model that {'forecasts ' + bundle.target if isinstance(bundle, SeriesBundle) else reads}"
    metrics = bundle.metrics
    parts: list[Part] = [paragraph(_about(bundle)), bullets(report_findings(bundle, history))]
    if evaluated is not None:
        parts += [heading(f"Evaluated on {on}"), *_scores(evaluated), *_details(evaluated)]
    if "metrics" in metrics:
        parts += [heading(f"Scores on the {metrics.get('split', 'valid')} rows"), *_scores(metrics), *_details(metrics)]
    parts += [heading("Training"), *_training(history)]
    if metrics.get("gradients"):
        parts += [heading("Where the gradient goes"), *_gradients(metrics["gradients"])]
    parts += [heading("Data"), *_data(bundle), heading("Settings"), _settings(bundle.config)]
    return page(title=title, parts=[*parts, *_card(bundle, history)])


def _about(bundle: AnyBundle) -> str:
    settings, metrics = bundle.config.model, bundle.metrics
    layers = (
        f"{settings.num_layers} layer{'s' * (settings.num_layers > 1)} of {settings.cell}, {settings.hidden_size} units"
    )
    size = f"{metrics['parameters']:,} parameters" if "parameters" in metrics else "parameters not counted yet"
    took = f"; {metrics['epochs']} epochs in {metrics['seconds']:,.0f} s" if "seconds" in metrics else ""
    return f"Task {bundle.targets.task}: {layers}, {size}{took}."


def _scores(result: Mapping[str, Any]) -> list[Part]:
    """The metrics beside those of the baselines, and the first of them as bars."""
    rows = beside_baselines(result)
    cells = [[name, *(with_interval(each, metric) for metric in result["metrics"])] for name, each in rows.items()]
    used = result.get("rows", {}).get("used")
    caption = "95 % interval in brackets" + (f"; {used:,} rows" if used else "")
    parts: list[Part] = [table(["", *result["metrics"]], cells, caption=caption)]
    metric = next(iter(result["metrics"]), None)
    if metric is not None and result.get("baselines"):
        parts.append(scores_figure(result, metric))
    return parts


def _details(result: Mapping[str, Any]) -> list[Part]:
    """Where the model is right and wrong."""
    details = result.get("details", {})
    parts: list[Part] = []
    if len(details.get("by_length", [])) > 1:
        parts.append(slices_figure(details["by_length"], score=details["score"], what="length (tokens)"))
    if len(details.get("by_target", [])) > 1:
        parts.append(slices_figure(details["by_target"], score=details["score"], what="true number"))
    if "by_class" in details:
        rows = [
            [each["label"], f"{each['rows']:,}", *(f"{each[name]:.3f}" for name in ("precision", "recall", "f1"))]
            for each in details["by_class"]
        ]
        parts.append(
            table(
                ["class", "rows", "precision", "recall", "F1"],
                rows,
                caption=f"Classes, the largest first, {CLASSES} at most",
            )
        )
    if "confusion" in details:
        parts.append(confusion_figure(details["confusion"]))
    if "confusions" in result:
        rows = [[each["tag"], each["taken_for"], f"{each['words']:,}"] for each in result["confusions"]]
        parts.append(table(["tag", "taken for", "words"], rows, caption="What is taken for what most often", texts=2))
    if "worst" in details:
        rows = [
            [each["text"], str(each["target"]), str(each["prediction"]), f"{each['line']}", f"{each['loss']:.3f}"]
            for each in details["worst"]
        ]
        head = ["text", "true", "answered", "line", "loss"]
        parts.append(table(head, rows, caption="The rows with the highest loss", texts=3))
    if "examples" in details:
        rows = [[each["text"], each["target"], each["prediction"]] for each in details["examples"]]
        parts.append(table(["text", "wanted", "written"], rows, caption="The first rows", texts=3))
    return parts


def _training(history: Sequence[Mapping[str, Any]]) -> list[Part]:
    """The curves of the training, and its epochs as a table."""
    if not history:
        return [paragraph("No epoch was kept.")]
    names = list(history[0]["metrics"])
    rows = [
        [
            f"{row['epoch']}{' *' if row['best'] else ''}",
            f"{row['train_loss']:.4f}",
            f"{row['valid_loss']:.4f}",
            *(f"{row['metrics'][name]:.4f}" for name in names),
            f"{row['tokens_per_second']:,.0f}",
        ]
        for row in history
    ]
    head = ["epoch", "training loss", "validation loss", *names, "tokens/s"]
    figure = metric_figure(history)
    epochs = table(head, rows, caption="Each epoch; * better than all before")
    return [loss_figure(history), *([] if figure is None else [figure]), folded("Epoch by epoch", epochs)]


def _gradients(flow: Mapping[str, Any]) -> list[Part]:
    """How far back the loss of some validation rows reaches."""
    figure = flow_figure(flow["layers"])
    said = "Of the loss of a few validation rows, once the model was trained; a step is one that a layer reads."
    return [paragraph(said), bullets(flow["findings"]), *([] if figure is None else [figure])]


def _data(bundle: AnyBundle) -> list[Part]:
    """Fingerprints, counts, lengths, labels, and the rows that could not be used."""
    metrics = bundle.metrics
    files = [[name, digest] for name, digest in bundle.data.items()]
    parts: list[Part] = [table(["file", "sha256"], files, caption="What it was trained on", texts=2)]
    if "rows" in metrics:
        counts = [[part, f"{count:,}"] for part, count in metrics["rows"].items() if part != "used"]
        parts.append(table(["rows", ""], counts, caption="How the rows were parted"))
    facts = metrics.get("data", {})
    if facts:
        lengths = [[name, f"{value:,.6g}"] for name, value in facts["lengths"].items()]
        parts.append(table(["length", "tokens"], lengths, caption=f"{facts['tokens']:,} tokens of training"))
    if facts.get("labels"):
        parts.append(labels_figure(facts["labels"]))
    if metrics.get("rejected"):
        rows = [[f"{each['file']}:{each['line']}", each["reason"]] for each in metrics["rejected"][:REJECTED]]
        parts.append(table(["row", "why"], rows, caption="Rows that were not used, the first of them", texts=2))
    return parts


def _settings(config: Config) -> Html:
    """All settings; those that are not the defaults first."""
    given, usual = _flat(config.model_dump()), _flat(Config().model_dump())
    rows = [[name, str(value), "" if value == usual[name] else str(usual[name])] for name, value in given.items()]
    changed = [row for row in rows if row[2]]
    whole = folded("All settings", table(["setting", "value", "default"], rows, caption="All settings", texts=3))
    if not changed:
        return Html(f"{paragraph('All settings are the defaults.')}\n{whole}")
    return Html(f"{table(['setting', 'value', 'default'], changed, caption='Not the defaults', texts=3)}\n{whole}")


def _card(bundle: AnyBundle, history: Sequence[Mapping[str, Any]]) -> list[Part]:
    """The model card, whose last part are the limits."""
    epochs = [dict(row) for row in history]
    card = card_of(bundle, epochs)
    limits = card.partition("## Limits\n")[2].strip()
    return [heading("Limits"), paragraph(limits), heading("Model card"), folded("README.md", preformatted(card))]


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    return flat


LENS = Lens(page=report_page, flow=brief_flow)  # what a training looks through
