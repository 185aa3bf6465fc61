"""python -m benchmarks.page: docs/benchmarks.md from the kept results, so that no figure is typed by hand."""

import json
from typing import Any

from benchmarks import figure, length_figure, recurrent_page, serving_page, tasks_page, writing_page
from benchmarks.machine import RESULTS

PAGE = RESULTS.parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written from `benchmarks/results/` by `python -m benchmarks.page`; run anew with `make bench` (short),
`python -m benchmarks.run` (the main job) and `python -m benchmarks.recurrent --full` (the core beside its peers, which
`benchmarks/peers.txt` says how to install). Figures of one machine hold only beside each other.

## The main job: `seqloom train` with its defaults
Accuracy with its 95 % interval. Where a set has no test rows the validation rows are scored, which also chose the
epoch, so figures flatter a little: the model's, and the linear baseline's, whose strength (C 1 or 10) they chose too.

| data | scored on | seqloom | TF-IDF + logistic regression | majority | best epoch of | minutes | tokens/s |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def render() -> str:
    """The page."""
    results = _all("sentiment-*")
    tagged = [each for each in _all("tagging-*") if "set" in each]
    tasks = tasks_page.render(tagged, _all("forecasting-*"), _all("series-*"), _all("captions-*"))
    tasks += "".join(map(tasks_page.tagging_speed, _all("tagging-speed")))
    tasks += "".join(map(tasks_page.names, _all("names")))
    tasks += tasks_page.language_quality([each for each in _all("language-*") if "set" in each])
    tasks += "".join(map(tasks_page.language, _all("language-speed")))
    tasks += "".join(map(tasks_page.memory_tasks, _all("memory-tasks")))
    tasks += tasks_page.larger(_all("larger-than-memory-*"))
    tasks += "".join(map(serving_page.render, _all("serving")))
    written = writing_page.render(_all("writing-*"), next(iter(_all("seq2seq")), None))
    rows = "".join(_row(result) for result in results if not result["settings"])
    machines = "".join(f"\n- {result['set']}, {result['date']}: {_machine(result['machine'])}" for result in results)
    parts = (_kept(part) for part in ("layers", "memory", "training", "layers-avx2"))
    core = recurrent_page.render(*parts) + "".join(map(recurrent_page.on_a_gpu, _all("gpu")))
    return f"{HEAD}{rows}\nMeasured on:{machines}\n{written}{tasks}{core}"


def pictures() -> dict[str, str]:
    """The pictures that the page shows, by their file's name; none of what was not measured."""
    layers = _kept("layers")
    drawn = {
        "benchmarks.svg": figure.draw(recurrent_page.marks(layers)) if layers else "",
        "bleu-by-length.svg": length_figure.draw(_all("writing-*")),
    }
    return {name: svg for name, svg in drawn.items() if svg}


def _all(pattern: str) -> list[dict[str, Any]]:
    """What is kept under such names; what was only tried is named by its settings, with a "=", and is no part of it."""
    kept = sorted(path for path in RESULTS.glob(f"{pattern}.json") if "=" not in path.name)
    return [json.loads(path.read_text(encoding="utf-8")) for path in kept]


def _kept(part: str) -> dict[str, Any] | None:
    path = RESULTS / f"recurrent-{part}.json"
    if not path.exists():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def _row(result: dict[str, Any]) -> str:
    final, baselines = result["final"], result["final"]["baselines"]
    best = max(row["epoch"] for row in result["epochs"] if row["best"])
    low, high = final["intervals"]["accuracy"]
    cells = [
        result["set"],
        f"{final['rows']['used']:,} {final['split']}",
        f"{final['metrics']['accuracy']:.4f} ({low:.3f} to {high:.3f})",
        f"{baselines['tfidf_logreg']['accuracy']:.4f}",
        f"{baselines['majority']['accuracy']:.4f}",
        f"{best} of {final['epochs']}",
        f"{result['minutes']:.1f}",
        f"{final['tokens_per_second']:,}",
    ]
    return "| " + " | ".join(cells) + " |\n"


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {machine[name]}" for name in ("seqloom", "torch", "numpy", "scikit-learn"))
    used = f"{machine['threads']} threads of {machine['cpus']} CPUs, load {machine['load']} at the end"
    return f"{machine['processor']}, {used}; Python {machine['python']}, {versions}; seed 0"


def main() -> None:
    """Write the page and its pictures."""
    PAGE.write_text(render(), encoding="utf-8")
    for name, svg in pictures().items():
        PAGE.with_name(name).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
