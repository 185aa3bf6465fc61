"""The report shows what the folder knows, asks nothing of a network, and keeps every text a text."""

import json
import re
import xml.etree.ElementTree as ET
from html import escape
from pathlib import Path
from typing import Any

import pytest
import torch

import seqloom
from seqloom.bundle import load_bundle, save_bundle
from seqloom.data import Prepared, prepare
from seqloom.data.examples import Example
from seqloom.data.targets import Targets
from seqloom.errors import BundleError
from seqloom.lens import AttentionMap
from seqloom.lens.figures import Curve, curves
from seqloom.lens.figures_report import confusion_figure, flow_figure, loss_figure, scores_figure, slices_figure
from seqloom.lens.gradients import gradient_flow
from seqloom.lens.html import table
from seqloom.lens.report import load_history, report_page, write_report
from seqloom.lens.report_findings import report_findings
from seqloom.lens.svg import draw
from seqloom.models import ManyToOne
from seqloom.training.details import details_of, row_losses
from tests.trained import Trained, small_models

EVIL = "</title><script>alert(1)</script>"
HISTORY = [
    {"epoch": number, "train_loss": 1.0 / number, "valid_loss": valid, "best": number == 2, "tokens_per_second": 1e3}
    | {"metrics": {"accuracy": 0.5 + number / 10}}
    for number, valid in enumerate([0.7, 0.6, 0.9], start=1)
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return small_models(tmp_path_factory.getbasetemp())


def report_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


# What is known of rows


def rows_of(targets: list[Any], lengths: list[int]) -> list[Example]:
    both = enumerate(zip(targets, lengths, strict=True), start=2)
    return [Example(line, f"text {line}", [1] * length, target) for line, (target, length) in both]


def test_classes_lengths_confusions_and_the_worst_rows_are_counted() -> None:
    targets = Targets("multiclass", ("a", "b", "c"))
    truth, decided = torch.tensor([0, 0, 1, 1, 2, 0]), torch.tensor([0, 1, 1, 1, 0, 0])
    logits = torch.nn.functional.one_hot(decided, 3) * torch.tensor([[1.0], [3.0], [1.0], [1.0], [2.0], [1.0]])
    found = details_of(targets, rows_of(truth.tolist(), [1, 9, 2, 3, 5, 1]), logits, truth, decided)
    assert found["score"] == "accuracy"
    assert found["confusion"] == {"labels": ["a", "b", "c"], "counts": [[2, 1, 0], [0, 2, 0], [1, 0, 0]]}
    assert found["by_class"][0] == pytest.approx(
        {"label": "a", "rows": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3}
    )
    assert found["by_class"][1] | {} == pytest.approx(
        {"label": "b", "rows": 2, "precision": 2 / 3, "recall": 1, "f1": 0.8}
    )
    spans = [(span["from"], span["to"], span["rows"], span["score"]) for span in found["by_length"]]
    assert spans == [(1, 1, 2, 1.0), (2, 2, 1, 1.0), (3, 3, 1, 1.0), (5, 5, 1, 0.0), (9, 9, 1, 0.0)]
    first, second = found["worst"][:2]
    assert (first["line"], first["target"], first["prediction"]) == (3, "a", "b")
    assert second["line"] == 6 and first["loss"] > second["loss"] > found["worst"][2]["loss"]


def test_numbers_and_several_labels_have_details_too() -> None:
    number = Targets("squared", (), mean=10.0, scale=2.0)
    truth, decided = torch.tensor([10.0, 12.0], dtype=torch.float64), torch.tensor([11.0, 12.0])
    found = details_of(number, rows_of([0.0, 1.0], [1, 2]), torch.tensor([[0.5], [1.0]]), truth, decided)
    assert set(found) == {"score", "by_length", "by_target", "worst"}
    assert [span["score"] for span in found["by_target"]] == [1.0, 0.0]
    assert found["worst"][0] == {"line": 2, "text": "text 2", "target": 10.0, "prediction": 11.0, "loss": 0.25}
    several = Targets("multilabel", ("x", "y"))
    said, wanted = torch.tensor([[1, 1], [0, 1]]), torch.tensor([[1, 0], [0, 1]])
    rows = rows_of(wanted.tolist(), [1, 2])
    found = details_of(several, rows, torch.tensor([[3.0, 3.0], [-3.0, 3.0]]), wanted, said)
    assert found["score"] == "exact_match" and found["worst"][0]["prediction"] == "x, y"
    assert [each["precision"] for each in found["by_class"]] == [1.0, 0.5]


@pytest.mark.parametrize("problem", ["binary", "multiclass", "multilabel", "squared"])
def test_the_losses_of_rows_are_those_of_the_model(problem: str, trained: Trained) -> None:
    folder = {"binary": trained.classifier, "multilabel": trained.multilabel, "squared": trained.regressor}
    model = load_bundle(folder.get(problem, trained.classifier)).model
    labels = {"binary": ("a", "b"), "squared": ()}.get(problem, ("a", "b", "c"))
    targets = Targets(problem, labels)  # type: ignore[arg-type]
    model.problem = problem  # type: ignore[union-attr, assignment]
    logits = torch.randn(4, 1 if problem in ("binary", "squared") else 3)
    wanted: list[Any] = [[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]] if problem == "multilabel" else [1, 0, 1, 0]
    rows = rows_of([float(each) for each in wanted] if problem == "squared" else wanted, [1] * 4)
    encoded = torch.tensor(wanted).float() if problem in ("multilabel", "squared") else torch.tensor(wanted)
    mean = model.loss(logits, encoded).item()  # type: ignore[operator, union-attr]
    assert row_losses(targets, logits, rows).mean().item() == pytest.approx(
        mean * (3 if problem == "multilabel" else 1)
    )


# The report


def test_training_leaves_a_report_in_the_manifest_of_each_task(trained: Trained) -> None:
    for folder in (trained.classifier, trained.regressor, trained.multilabel, trained.translator):
        text = report_of(folder)
        assert "report.html" in json.loads((folder / "manifest.json").read_text())["files"]
        assert "<script" not in text and "default-src 'none'" in text
        assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(", text)
        for part in ("Scores on the test rows", "Training", "Data", "Settings", "Limits", "sha256"):
            assert part in text
        assert len(text) < 200_000
    assert "tfidf_logreg" in report_of(trained.classifier)
    assert "The rows with the highest loss" in report_of(trained.classifier)
    assert "by true number" in report_of(trained.regressor)
    assert "wanted" in report_of(trained.translator)


def test_a_report_shows_where_the_gradient_goes(trained: Trained) -> None:
    """As it is followed through the kept model, on the first validation rows."""
    bundle = load_bundle(trained.classifier)
    kept = bundle.metrics["gradients"]
    assert [layer["name"] for layer in kept["layers"]] == ["recurrent layer 1 forward", "recurrent layer 1 backward"]
    prepared = prepare(bundle.config, trained.reviews)
    assert isinstance(prepared, Prepared) and isinstance(bundle.model, ManyToOne)
    batch, targets = prepared.collate(prepared.valid[:8])
    model = bundle.model
    flow = gradient_flow(model, lambda: model.batch_loss(batch, targets))  # type: ignore[arg-type]  # of texts
    assert [layer["carried"] for layer in kept["layers"]] == [pytest.approx(layer.carried()) for layer in flow.layers]
    text = report_of(trained.classifier)
    assert "Where the gradient goes" in text and "steps back" in text
    for said in kept["findings"]:
        assert escape(said).replace(" %", "&nbsp;%") in text
    assert "encoder layer 1" in report_of(trained.translator)


def test_gradients_that_are_gone_are_drawn_as_far_as_there_are_any() -> None:
    assert flow_figure([{"name": "a", "carried": [0.0, 0.0]}, {"name": "b", "carried": [1.0]}]) is None
    drawn = flow_figure([{"name": "a", "carried": [1.0, 0.1, 0.01, 0.0, 0.0]}])
    assert drawn is not None and drawn["data"][0]["y"] == pytest.approx([0, -1, -2])


def test_report_is_written_anew_from_the_folder_alone(trained: Trained, tmp_path: Path) -> None:
    assert write_report(trained.classifier, out=tmp_path / "r.html") == tmp_path / "r.html"
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == report_of(trained.classifier)


def test_an_evaluation_stands_before_the_scores_of_the_training(trained: Trained, tmp_path: Path) -> None:
    result = seqloom.load(trained.classifier).evaluate(trained.reviews)
    assert set(result["details"]) == {"score", "by_length", "by_class", "confusion", "worst"}
    path = write_report(trained.classifier, out=tmp_path / "r.html", evaluated=result, on="<b>more</b>.csv")
    text = path.read_text(encoding="utf-8")
    assert text.index("Evaluated on &lt;b&gt;more&lt;/b&gt;.csv") < text.index("Scores on the test rows")


def test_no_text_of_data_or_settings_becomes_markup(trained: Trained) -> None:
    bundle = load_bundle(trained.classifier)
    details = bundle.metrics["details"]
    worst = {"line": 1, "text": EVIL, "target": EVIL, "prediction": EVIL, "loss": 1.0}
    classes = [{**each, "label": EVIL} for each in details["by_class"]]
    confusion = {"labels": [EVIL, EVIL], "counts": [[1, 2], [3, 4]]}
    details = {**details, "worst": [worst], "by_class": classes, "confusion": confusion}
    scores = bundle.metrics["baselines"]["majority"]
    metrics = {**bundle.metrics, "details": details, "baselines": {EVIL: scores}}
    metrics |= {"rejected": [{"file": EVIL, "line": 3, "reason": EVIL}]}
    data = {**metrics["data"], "labels": {EVIL: 3, "b": 4}}
    evil = bundle._replace(input=EVIL, target=EVIL, data={EVIL: EVIL}, metrics={**metrics, "data": data})
    text = report_page(evil, HISTORY, evaluated=metrics, on=EVIL)
    assert "<script" not in text and text.count("</title>") == text.count("<title>")
    assert text.count("&lt;script&gt;") > 10


def test_findings_follow_the_numbers(trained: Trained) -> None:
    bundle = load_bundle(trained.classifier)
    interval = {"intervals": {"accuracy": [0.4, 0.5]}}
    spans = [{"from": 1, "to": 9, "score": 0.9, "interval": [0.8, 0.95]}]
    spans.append({"from": 10, "to": 99, "score": 0.5, "interval": [0.4, 0.6]})
    classes = [{"label": "a", "rows": 5, "f1": 0.9}, {"label": "b", "rows": 7, "f1": 0.3}]
    metrics = {
        "metrics": {"accuracy": 0.8},
        "intervals": {"accuracy": [0.7, 0.9]},
        "baselines": {
            "majority": {"accuracy": 0.45, **interval},
            "other": {"accuracy": 0.85},
            "same": {"accuracy": 0.8},
        },
        "details": {"score": "accuracy", "by_length": spans, "by_class": classes},
        "rows": {"used": 12},
        "split": "valid",
    }
    assert report_findings(bundle._replace(metrics=metrics), HISTORY) == [
        "accuracy 0.800: better than majority (0.450).",
        "accuracy 0.800: worse than other (0.850).",
        "accuracy 0.800: as good as same (0.800).",
        'The weakest class is "b": F1 0.300 on 7 rows.',
        "Rows of 10 to 99 tokens are the hardest (accuracy 0.500), those of 1 to 9 the easiest (0.900).",
        "The validation loss was lowest in epoch 2 (0.600) and rose to 0.900: more was learned by heart. More data, "
        "dropout or fewer epochs may help.",
        "Scored on 12 rows only: the intervals are wide.",
        "There were no test rows: the rows of the scores also chose the epoch, and flatter a little.",
    ]


def test_the_weakest_of_many_classes_is_told_of_those_that_are_kept(trained: Trained) -> None:
    bundle = load_bundle(trained.classifier)
    kept = [{"label": f"{number}", "rows": 9, "f1": 1 - number / 100} for number in range(30)]
    metrics = {**bundle.metrics, "baselines": {}, "details": {"by_class": kept}}
    said = report_findings(bundle._replace(metrics=metrics), [])
    assert 'The weakest of the 30 largest classes is "29": F1 0.710 on 9 rows.' in said


def test_a_model_still_in_training_has_a_report(trained: Trained) -> None:
    bundle = load_bundle(trained.classifier)
    metrics = {"task": "classify", "split": "valid", "metrics": {"accuracy": 0.5}}
    assert "Training has not ended" in report_page(bundle._replace(metrics=metrics), HISTORY[:1])


def test_foreign_metrics_are_refused_in_words(trained: Trained, tmp_path: Path) -> None:
    model = seqloom.load(trained.classifier)
    span = {"from": 1, "to": 2, "score": 0.5, "interval": []}
    for details in ({"by_class": "x", "score": 1}, {"by_length": [span, span], "score": "accuracy"}):
        bundle = model.bundle._replace(metrics={**model.metrics, "details": details})
        save_bundle(tmp_path / "m", bundle, history=[], card="")
        with pytest.raises(BundleError, match="its metrics or its history are not what this version writes"):
            write_report(tmp_path / "m")
    save_bundle(tmp_path / "m", model.bundle, history=[], card="")
    write_report(tmp_path / "m")
    assert "No epoch was kept." in report_of(tmp_path / "m")
    assert load_history(tmp_path / "m") == []
    assert seqloom.load(tmp_path / "m").predict("good") == model.predict("good")


# Figures without a script


def drawn(figure: Any) -> ET.Element:
    return ET.fromstring(draw(figure))


def test_lines_bars_and_maps_are_drawn_to_scale() -> None:
    svg = drawn(
        curves(
            [Curve("a", [0, 1, 2], [0, 1, 4]), Curve("b", [0, 2], [2, 2], [(1, 3), (2, 2)])], title="t<", x="x", y="y"
        )
    )
    first, second = svg.findall("polyline")
    points = [tuple(map(float, point.split(","))) for point in first.get("points", "").split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and (y0 - y1) * 4 == pytest.approx(y0 - y2, abs=0.6)
    assert second.get("stroke") != first.get("stroke")
    assert svg.get("aria-label") == "t<" == svg.findtext("title")
    assert [text.text for text in svg.findall("text")][-2:] == ["a", "b"]
    spans = [
        {"from": 1, "to": 2, "score": 0.5, "interval": [0.4, 0.6]},
        {"from": 3, "to": 9, "score": 1.0, "interval": [0.9, 1.0]},
    ]
    bars = drawn(slices_figure(spans, score="accuracy", what="length"))
    low, high = (float(bar.get("height", 0)) for bar in bars.findall("rect"))
    assert high == pytest.approx(2 * low, abs=0.3)
    cells = drawn(confusion_figure({"labels": ["a", "b"], "counts": [[3, 1], [0, 4]]})).findall("rect")
    assert [cell.get("fill-opacity") for cell in cells] == ["0.525", "0.175", "0.000", "0.700"]
    assert float(cells[2].get("y", 0)) > float(cells[0].get("y", 0))


def test_figures_of_a_report_are_understood_by_plotly_too() -> None:
    objects = pytest.importorskip("plotly.graph_objects")
    result = {
        "metrics": {"accuracy": 0.5},
        "intervals": {"accuracy": [0.4, 0.6]},
        "baselines": {"m": {"accuracy": 0.4}},
    }
    figures = [loss_figure(HISTORY), scores_figure(result, "accuracy")]
    figures.append(confusion_figure({"labels": ["a", "b"], "counts": [[3, 1], [0, 4]]}))
    for figure in figures:
        objects.Figure(figure)
        drawn(figure)
    assert "learned by heart" in figures[0]["layout"]["title"]["text"]
    with pytest.raises(ValueError, match="no way to draw pie"):
        draw({"data": [{"type": "pie"}], "layout": {}})


def test_constant_and_single_values_can_be_drawn() -> None:
    for values in ([1.0], [2.0, 2.0], [0.0, 0.0], [1e17], [1e300], [-1e17]):
        drawn(curves([Curve("a", list(range(len(values))), values)], title="", x="", y=""))
        svg = drawn(loss_figure([{"epoch": 1, "train_loss": values[0], "valid_loss": values[0], "best": True}]))
        assert all(len(text.text or "") < 24 for text in svg.findall("text"))


def test_a_text_of_no_token_has_a_page() -> None:
    assert "Written: <" in AttentionMap("a", ["a"], "", [], [], 0.0)._repr_html_()


def test_cells_of_a_table_are_texts() -> None:
    assert "<td><bdi>&lt;b&gt;</bdi></td>" in table(["<i>"], [["<b>"]], caption="<u>")
