"""Tables and picture come from the kept results alone."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import length_figure, page, serving_page, tasks_page
from benchmarks.figure import Mark, draw
from benchmarks.recurrent_page import marks, on_a_gpu, render


def side(ratio: float, *, clean: int = 9, difference: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"median": 0.002 * ratio, "ratio": ratio, "clean": clean, "difference": difference, **more}


def kept(*results: dict[str, Any]) -> dict[str, Any]:
    machine = {"processor": "Abacus", "isa": "avx2", "cpus": 2, "torch": "2.0"}
    run = {"threads": 2, "load_at_start": 0.1, "stolen_seconds": 0.0, "seconds": 60}
    return {"date": "2026-01-02", "machine": machine, "run": run, "results": list(results)}


LAYERS = kept(
    {
        "case": "4, 5, 6, 7 reviews",
        "cell": "GRU",
        "mode": "train",
        "peaks": {"fma": 200.0, "torch_matmul": 160.0},
        "versions": {"Keras on JAX": {"keras": "3.1"}},
        "parts_seconds": 0.0016,
        "sides": {
            "seqloom": side(1.0, percent_of_peak=81.4, notes={"path": "fused_cpu"}),
            "torch": side(3.5),
            "torch batch first": side(2.5, clean=2),
            "torch packed": side(12.25),
            "Keras on JAX": side(1.75),
            "ONNX Runtime": {"absent": "infers only"},
            "ONNX Runtime int8": side(0.5, difference=0.01),
            "seqloom int8": side(0.4, difference=0.9),
        },
    }
)


def test_a_row_gives_the_faster_layout_of_torch_and_every_doubt() -> None:
    rendered = render(LAYERS, None, None)
    [row] = [line for line in rendered.splitlines() if line.startswith("| GRU")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "GRU", "4, 5, 6, 7 reviews", "train", "2", "81", "2.5 †", "3.07", "3.12", "12.2", "–", "1.75", "–", "–", "0.5",
        "0.4 (other results)",
    ]  # fmt: skip
    [head] = [line for line in rendered.splitlines() if line.startswith("| cell")]
    [rule] = [line for line in rendered.splitlines() if line.startswith("| ---")]
    assert head.count("|") == rule.count("|") == row.count("|") == len(cells) + 1
    for said in ("Abacus (avx2)", "keras 3.1", "path of seqloom: fused_cpu", "multiply-adds 200 GFLOP/s"):
        assert said in rendered


def test_a_case_on_a_gpu_is_a_line_with_each_cell_and_mode() -> None:
    results = [
        {"case": case, "cell": cell, "mode": mode, "milliseconds": {"seqloom": ours}, "ratio": ratio}
        for case, ours, ratio in (("4, 5, 6, 7", 0.256, 0.477), ("1, 2, 3, 4", 12.0, 1.25))
        for cell in ("GRU", "LSTM")
        for mode in ("infer", "train")
    ]
    versions = {"gpu": "Slide rule", "cuda": "13.0"}
    rendered = on_a_gpu({**kept(*results), "turns": 30, "versions": versions})
    lines = [line for line in rendered.splitlines() if line.startswith("|")]
    assert lines[0] == "| case | GRU infer | GRU train | LSTM infer | LSTM train |"
    assert lines[2:] == ["| 4, 5, 6, 7" + 4 * " | 0.26 (0.48)" + " |", "| 1, 2, 3, 4" + 4 * " | 12.00 (1.25)" + " |"]
    assert rendered.endswith("Measured on Slide rule, CUDA 13.0, torch 2.0.\n")


def test_layers_held_to_avx2_stand_beside_torch_alone() -> None:
    rendered = render(None, None, None, LAYERS)
    assert "## The same without AVX-512" in rendered
    assert "| GRU | 4, 5, 6, 7 reviews | train | 2 | 81 | 2.5 † | 3.07 | 3.12 | 12.2 |" in rendered


def test_memory_and_training_have_their_tables() -> None:
    memory = kept(
        {
            "case": "4, 5, 6, 7",
            "cell": "LSTM",
            "sides": {
                "seqloom": {"peak_bytes": 2_000_000, "saved_bytes_a_token": 1234.4},
                "torch": {"peak_bytes": 9_000_000, "saved_bytes_a_token": 5000.0},
                "torch packed": {"absent": "all rows are equally long"},
            },
        }
    )
    race = {"tokens_per_second": 20_000, "ratio": 1.0, "turns": 9, "clean": 9, "seconds_to_target": 12.3}
    slow = race | {"tokens_per_second": 5_000, "ratio": 4.0, "seconds_to_target": None, "clean": 1}
    training = kept(
        {
            "set": "sst2", "cell": "LSTM", "target": 0.8, "race": True,
            "sides": {"seqloom": race, "torch packed": slow},
        }
    )  # fmt: skip
    rendered = render(None, memory, training)
    assert "| LSTM | 4, 5, 6, 7 | 2 | 9 | – | 1,234 | 5,000 | – |" in rendered
    assert "| sst2, target 0.80 | LSTM | seqloom | 20,000 | 1.00 | 12 |" in rendered
    assert "| sst2, target 0.80 | LSTM | torch packed | 5,000 † | 4.00 | not reached |" in rendered


def test_picture_is_svg_with_a_mark_for_each_ratio_and_states_the_finding() -> None:
    found = marks(LAYERS)
    assert found == [
        Mark("4, 5, 6, 7 reviews, train", "GRU", 2.5, torch=True),
        Mark("4, 5, 6, 7 reviews, train, packed", "GRU", 12.25, torch=True),
        Mark("4, 5, 6, 7 reviews, train", "GRU", 1.75, torch=False),
    ]
    tree = ElementTree.fromstring(draw(found))
    space = "{http://www.w3.org/2000/svg}"
    titled = [circle for circle in tree.iter(f"{space}circle") if circle.find(f"{space}title") is not None]
    assert len(titled) == 3
    places = [float(circle.attrib["cx"]) for circle in titled]
    assert sorted(places) == [places[2], places[0], places[1]]
    assert "seqloom is faster than torch in 2 of 2 cases; the median ratio is 7.4" in draw(found)


def written(*, words: list[int], bleu: float) -> dict[str, Any]:
    return {"words": words, "rows": 9, "bleu": bleu, "intervals": {"bleu": [bleu - 5, bleu + 5]}}


def test_bleu_by_length_is_drawn_with_every_point_and_its_interval() -> None:
    spans = [written(words=[1, 8], bleu=40.25), written(words=[9, 1000], bleu=12.5)]
    sets = [
        {"set": "with attention", "test": {"by_length": spans}},
        {"set": "sounds", "test": {"by_length": [{"words": [1, 1000], "rows": 9, "intervals": {}}]}},
    ]
    svg = length_figure.draw(sets)
    tree, space = ElementTree.fromstring(svg), "{http://www.w3.org/2000/svg}"
    titles = [title.text for title in tree.iter(f"{space}title")]
    assert titles == [
        "with attention, 1-8 words: 40.2 (35.2 to 45.2)",
        "with attention, 9+ words: 12.5 (7.5 to 17.5)",
    ]
    heights = [float(circle.attrib["cy"]) for circle in tree.iter(f"{space}circle") if len(circle)]
    assert heights[0] < heights[1]  # a greater BLEU stands higher
    assert "with attention 40 to 12" in svg and "sounds" not in svg
    assert length_figure.draw(sets[1:]) == ""


def test_kept_pictures_are_those_of_the_kept_results() -> None:
    drawn = page.pictures()
    assert drawn
    for name, svg in drawn.items():
        assert page.PAGE.with_name(name).read_text(encoding="utf-8") == svg


def test_page_and_pictures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "_kept", lambda part: LAYERS if part == "layers" else None)
    page.main()
    assert "## The recurrent core: layers" in (tmp_path / "page.md").read_text(encoding="utf-8")
    assert (tmp_path / "benchmarks.svg").read_text(encoding="utf-8").startswith("<svg")


def test_a_tagger_is_a_line_with_characters_and_one_without() -> None:
    speeds = {
        read: {"words_a_second": {"seqloom": 12_345.6, "plain": 5_000.0}, "ratio": 2.469}
        for read in ("characters", "words")
    }
    lines = tasks_page.tagging_speed({"results": [{"set": "ewt", "threads": 2, "speed": speeds}]}).splitlines()
    assert lines[-2:] == [f"| ewt | {read} | 12,346 | 5,000 | 2.47 | 2 |" for read in ("read", "not read")]


def test_tags_and_forecasts_stand_beside_their_baselines() -> None:
    machine = {"threads": 2}
    tagged = {
        "set": "imst",
        "characters": True,
        "minutes": 1.25,
        "machine": machine,
        "final": {
            "metrics": {"accuracy": 0.9, "unknown_word_accuracy": 0.75},
            "intervals": {"accuracy": [0.89, 0.91], "unknown_word_accuracy": [0.7, 0.8]},
            "baselines": {"most_frequent": {"accuracy": 0.8}, "feature_logreg": {"accuracy": 0.88}},
        },
    }
    forecast = {
        "set": "hourly",
        "minutes": 3.0,
        "machine": machine,
        "test": {
            "metrics": {"mase": 0.9, "smape": 12.5, "coverage": 0.79},
            "baselines": {"seasonal_naive": {"mase": 1.2, "smape": 13.9}},
        },
    }
    answered = {
        "set": "vowels",
        "accuracy": 0.975,
        "accuracies": [0.97, 0.98],
        "minutes": 2.5,
        "machine": machine,
        "runs": [
            {
                "test": {
                    "rows": {"test": 1370},
                    "baselines": {"summary_logreg": {"accuracy": 0.9}, "majority": {"accuracy": 0.25}},
                }
            }
        ],
    }
    told = {
        "set": "scenes",
        "minutes": 4.0,
        "machine": machine,
        "test": {
            "metrics": {"exact_match": 0.5, "bleu": 61.25, "chrf": 70.0},
            "baselines": {"majority": {"exact_match": 0.01, "bleu": 9.5, "chrf": 20.0}},
        },
    }
    page = tasks_page.render([tagged], [forecast], [answered], [told])
    assert "| imst | read | 90.0 % (89.0 to 91.0) | 75.0 % (70.0 to 80.0) | 80.0 % | 88.0 % | 1.2, 2 |" in page
    assert "| hourly | 0.900 | 12.50 | 79.0 % | 1.200 | 13.90 | 3.0, 2 |" in page
    assert "| vowels | 1,370 | 97.5 % | 97.0 %, 98.0 % | 90.0 % | 25.0 % | 2.5, 2 |" in page
    assert "| scenes | 50.0 % | 61.2 | 70.0 | 1.0 % | 9.5 | 20.0 | 4.0, 2 |" in page
    assert tasks_page.render([], [], [], []) == ""
    sizes = {"words": 10_001, "size": 200, "hidden": 250, "layers": 2}
    case = {"case": "wide", "sizes": sizes, "ratio": 1.497, "memory": {"seqloom": 2**20, "plain": 3 * 2**20}}
    assert "| wide | 10,001, 200, 2 x 250 | 1.50 | 1 | 3 |" in tasks_page.language({"cases": [case]})


def test_language_models_names_and_memory_have_a_line_each() -> None:
    machine = {"threads": 1}
    epochs = [{"metrics": {"perplexity": value, "loss": value / 50}} for value in (120.0, 110.0, 111.0)]
    final = {"split": "test", "metrics": {"perplexity": 112.25}, "parameters": 4_000_000}
    final["baselines"] = {"unigram": {"perplexity": 700.0}, "bigram": {"perplexity": 180.0}}
    read = {"set": "ptb", "minutes": 50.0, "machine": machine, "final": final, "epochs": epochs}
    play = read | {"set": "play", "final": final | {"split": "valid", "baselines": {}}}
    page = tasks_page.language_quality([read, play])
    assert "| ptb | 4,000,000 | 110.0 | 112.2 | 700.0 | 180.0 | 50.0, 1 |" in page
    assert "| play | 4,000,000 | 2.200 | – | – | – | 50.0, 1 |" in page
    assert tasks_page.language_quality([]) == ""
    scores = {"metrics": {"accuracy": 0.8, "macro_f1": 0.5}, "rows": {"test": 2000}}
    scores["baselines"] = {"tfidf_logreg": {"accuracy": 0.78, "macro_f1": 0.51}}
    named = {"machine": machine, "runs": [{"seed": 2, "minutes": 1.5, "final": scores}]}
    assert "| 2 | 2,000 | 80.0 % | 50.0 % | 78.0 % | 51.0 % | 1.5, 1 |" in tasks_page.names(named)
    told = {"task": "adding", "cell": "GRU", "steps": 400, "updates": 900, "loss": 0.01, "guess": 0.1667}
    lost = told | {"loss": None, "solved": False, "diverged": True}
    remembered = {"outcomes": {"a": told | {"solved": True, "diverged": False}, "b": lost}}
    assert "| adding | GRU | 400 | 900 | 0.0100 | 0.1667 | yes |" in tasks_page.memory_tasks(remembered)
    assert "| adding | GRU | 400 | 900 | – | 0.1667 | diverged |" in tasks_page.memory_tasks(remembered)


def test_the_server_under_load_is_told_in_a_table_and_three_sentences() -> None:
    accepted = {"p50_ms": 5.0, "p99_ms": 20.0}
    storm = {"rate": 3000.0, "seconds": 60.0, "statuses": {"200": 9, "429 with retry-after": 7}, "accepted": accepted}
    result = {
        "speed": [{"clients": 16, "per_second": 1234.5, "p50_ms": 3.5, "p99_ms": 9.0}],
        "overload": {"storm": storm, "calm": {"accepted": {"p99_ms": 10.0}}, "p99_ratio": 2.0},
        "memory": {"requests": 200_000, "grown_megabytes": 1.25},
        "slow": {"connections": 500, "alone": {"p99_ms": 4.0}, "beside": {"p99_ms": 5.0}, "p99_ratio": 1.25},
        "look": {"files": 14, "first_look_s": 0.25, "p50_ms": 150.0, "p99_ms": 170.0},
    }
    page = serving_page.render(result)
    assert "| 16 | 1,234.5 | 3.5 | 9.0 |" in page
    assert "(3,000.0 a second for 60 s): 9 200, 7 429 with retry-after. Accepted p99 20.0 ms, 2.0 times" in page
    assert "200,000 mixed requests after warming up: the memory grew by 1.25 MB." in page
    assert "p99 of the others 5.0 ms, 1.25 times that alone (4.0 ms)." in page
    assert "default size: 0.25 s; each later look at 500 words: p50 150.0 ms, p99 170.0 ms." in page


def test_files_larger_than_memory_have_a_line_each() -> None:
    run = {"task": "tag", "mb": 5000.2, "peak_mb_until_ready": 912.4, "peak_mb_after": 1034.6}
    result = {"limit_gib": 2.0, "runs": [{**run, "processor_seconds_until_ready": 3_660.0}]}
    assert tasks_page.larger([result]).endswith("| tag | 5,000 | 2 | 912 | 1,035 | 61 |\n")
    assert "| tag | 5,000 | – | 912 |" in tasks_page.larger([{**result, "limit_gib": 0.0}])
    assert tasks_page.larger([]) == ""


def test_what_was_only_tried_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    (tmp_path / "gpu.json").write_text('{"kept": true}')
    (tmp_path / "gpu-turns=3.json").write_text('{"kept": false}')
    assert page._all("gpu*") == [{"kept": True}]
