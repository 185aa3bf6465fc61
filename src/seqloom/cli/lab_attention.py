"""The attention experiment as it is read: tables, a chart, a map, what was found, and a page with figures."""

import sys
from pathlib import Path

from seqloom.bundle import Bundle, load_bundle
from seqloom.cli.charts import print_columns, print_map
from seqloom.cli.tables import plain_table, print_json, print_table
from seqloom.errors import MissingExtraError
from seqloom.lab import attention_findings as lab
from seqloom.lab.attention import LABELS, Questions, Trial, example_map, units_of
from seqloom.lens.figures import heat_map
from seqloom.lens.html import bullets
from seqloom.lens.page import write_page


def show(trials: dict[str, Trial], questions: Questions, task: str | None, *, page: Path, json: bool) -> None:
    """Print the experiment, and write its page where plotly is there."""
    bundle = load_bundle(trials["attention"].folder)
    assert isinstance(bundle, Bundle)
    units, seen = units_of(bundle), example_map(bundle, questions)
    result = lab.summed(trials, questions, task=task, units=units) | {"seed": bundle.config.seed}
    if json:
        print_json(result | {"example": seen.to_dict()})
    else:
        _print_trials(trials)
        _print_spans(trials, units)
        print("Where it looked with attention, a line for each token that it wrote:")
        print_map(seen)
        print()
        for finding in result["findings"]:
            print(f"- {finding}")
    figures = [lab.figure(trials, questions, units=units), heat_map(seen, title=f"Where it looked: {seen.prediction}")]
    try:
        write_page(page, title="Attention", parts=[bullets(result["findings"]), *(f for f in figures if f)])
        print(f"\npage:   {page}", file=sys.stderr)
    except MissingExtraError as missing:
        print(f"\nno page is written: {missing}", file=sys.stderr)


def _print_trials(trials: dict[str, Trial]) -> None:
    table = plain_table("model", "parameters", "epochs", "seconds")
    for name, trial in trials.items():
        table.add_row(f"{name}: {LABELS[name]}", f"{trial.parameters:,}", f"{trial.epochs}", f"{trial.seconds:.1f}")
    print_table(table)


def _print_spans(trials: dict[str, Trial], units: str) -> None:
    """Each variant's figures by the length of the source, in lengths of the training and, marked, beyond."""
    spans = trials["plain"].spans
    names = [span.name + "*" * (not span.seen) for span in spans]
    for metric, title in (("exact_match", "texts wholly right"), ("right", f"{units} right")):
        table = plain_table(
            "source", "rows", *trials, title=f"{title}, by tokens of the source · 95 % interval in brackets"
        )
        for number, name in enumerate(names):
            own = [trial.spans[number] for trial in trials.values()]
            table.add_row(name, f"{own[0].rows}", *(lab.shown(span, metric) for span in own))
        print_table(table)
    if not all(span.seen for span in spans):
        print("* longer than any source in training\n")
    shares = {name: [span.right for span in trial.spans] for name, trial in trials.items()}
    print(f"{units} right, 0 to 100 %, by tokens of the source")
    print_columns(names, shares)
