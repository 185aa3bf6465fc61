"""Figures are plain values that plotly understands; a page of them asks no network and lets no text act."""

import json
import re
import sys
from pathlib import Path

import pytest

from seqloom.errors import MissingExtraError
from seqloom.lens import AttentionMap, SeriesView
from seqloom.lens import page as pages
from seqloom.lens.figures import COLOURS, Curve, curves, forecast_figure, heat_map
from seqloom.lens.html import paragraph

SEEN = AttentionMap("a a<b", ["a", " ", "<b>"], "xx", ["x", "x"], [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], -0.1)


def test_curves_keep_every_point_and_interval() -> None:
    lines = [Curve("one", [1, 2], [0.5, 0.7], [(0.4, 0.8), (0.7, 0.7)]), Curve("two", [1], [0.1])]
    figure = curves(lines, title="It rises", x="length (tokens)", y="right (%)")
    first, second = figure["data"]
    assert (first["x"], first["y"], second["y"]) == ([1, 2], [0.5, 0.7], [0.1])
    assert first["error_y"]["array"] == pytest.approx([0.3, 0])
    assert first["error_y"]["arrayminus"] == pytest.approx([0.1, 0])
    assert "error_y" not in second
    assert first["line"] != second["line"]
    assert first["marker"]["symbol"] != second["marker"]["symbol"]
    assert "shapes" not in figure["layout"]


def test_a_forecast_goes_on_where_the_history_ends_within_its_band() -> None:
    times = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    quantiles = {"0.1": [1.0, 0.5], "0.5": [2.0, 2.5], "0.9": [3.0, 4.0]}
    seen = SeriesView("a<b", times, [1.0, None], [2.0, 2.5], quantiles)
    figure = forecast_figure(seen, title="It goes on")
    before, high, low, middle = figure["data"]
    assert (before["x"], before["y"]) == (times[:2], [1.0, None])
    assert (high["y"], low["y"], middle["y"]) == ([3.0, 4.0], [1.0, 0.5], [2.0, 2.5])
    assert low["fill"] == "tonexty"
    assert low["name"] == "0.1 to 0.9"
    assert all(part["x"] == times[2:] for part in (high, low, middle))
    assert figure["layout"]["yaxis"]["title"]["text"] == "a&lt;b"
    one = forecast_figure(seen._replace(quantiles={"0.5": [2.0, 2.5]}), title="")
    assert len(one["data"]) == 2


def test_more_curves_than_colours_are_drawn_too() -> None:
    many = [Curve(f"{n}", [0], [n]) for n in range(len(COLOURS) + 1)]
    assert len(curves(many, title="", x="", y="")["data"]) == len(many)


def test_map_keeps_repeated_tokens_apart_and_tokens_are_no_tags() -> None:
    figure = heat_map(SEEN, title="Where it looked")
    assert figure is not None
    assert figure["data"][0]["z"] == SEEN.weights
    assert figure["layout"]["yaxis"]["tickvals"] == [0, 1]
    assert figure["layout"]["yaxis"]["ticktext"] == ["x", "x"]
    assert figure["layout"]["xaxis"]["ticktext"] == ["a", "␣", "&lt;b&gt;"]
    assert heat_map(SEEN._replace(weights=None), title="") is None


def test_page_loads_nothing_and_no_text_leaves_its_place() -> None:
    evil = "</script><script>alert(1)</script>"
    figure = curves([Curve(evil, [1], [2])], title=evil, x=evil, y=evil)
    figure["data"][0]["meta"] = evil  # even one that nobody took the tags from
    parts = [paragraph(evil), paragraph("a < 5 %"), figure]
    text = pages.page(title=evil, parts=parts, plotly="/* draws */")
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|//\w|\bsrc=|\bhref=|@import|url\(", text)
    assert text.count("<script>") == text.count("</script>") == 2
    assert "alert(1)&lt;/script&gt;" in text
    assert "<p>a &lt; 5&nbsp;%</p>" in text
    [drawn] = re.findall(r'^draw\("figure-0", (.*)\);$', text, re.MULTILINE)
    assert json.loads(f"[{drawn}]") == [figure["data"], figure["layout"]]


def test_page_without_plotly_is_not_written_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtraError, match=r"plotly.* pip install 'seqloom\[look\]'"):
        pages.write_page(tmp_path / "a.html", title="", parts=[])
    assert list(tmp_path.iterdir()) == []


def test_plotly_understands_the_figures_and_its_script_is_in_the_page(tmp_path: Path) -> None:
    objects = pytest.importorskip("plotly.graph_objects")
    offline = pytest.importorskip("plotly.offline")
    marked = curves([Curve("one", [1], [2], [(1, 3)])], title="t", x="x", y="y", mark=(1.5, "here"))
    drawn = heat_map(SEEN, title="t")
    assert drawn is not None
    for figure in (marked, drawn):
        objects.Figure(figure)  # raises for a name or value that plotly does not know
    pages.write_page(tmp_path / "a.html", title="t", parts=[marked, drawn])
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert offline.get_plotlyjs() in text
    assert not re.search(r"https?:|\bsrc=|\bhref=", text.replace(offline.get_plotlyjs(), ""))
