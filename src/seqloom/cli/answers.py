"""Answers as CSV, each task's in its own columns."""

import csv
import sys
from typing import Any

from seqloom.data import SeriesTargets
from seqloom.data.text_targets import AnyTargets


def print_csv(answers: list[dict[str, Any]], targets: AnyTargets | SeriesTargets) -> None:
    """A line for each answer; for each step ahead where series are forecast."""
    if targets.problem == "series":
        _print_steps(answers)
    elif targets.problem in ("text", "next"):
        _print_texts(answers)
    elif targets.problem == "tags":
        _print_tags(answers)
    else:
        _print_labels(answers, labels=targets.labels)


def _print_texts(answers: list[dict[str, Any]]) -> None:
    """A column for each text that was written, as many as any row has."""
    others = max((len(answer.get("alternatives", ())) for answer in answers), default=0)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    numbered = [f"alternative {number}" for number in range(1, others + 1)]
    writer.writerow(["input", "prediction", "score", *numbered, "error"])
    for answer in answers:
        texts = [other["prediction"] for other in answer.get("alternatives", ())]
        texts += [""] * (others - len(texts))
        said = (answer.get("prediction", ""), answer.get("score", ""))
        writer.writerow([answer["input"], *said, *texts, answer.get("error", "")])


def _print_tags(answers: list[dict[str, Any]]) -> None:
    """Words and tags with a blank between them: in JSONL each stands by itself."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["input", "tokens", "tags", "error"])
    for answer in answers:
        lists = (" ".join(answer.get(name, ())) for name in ("tokens", "tags"))
        writer.writerow([answer["input"], *lists, answer.get("error", "")])


def _print_steps(answers: list[dict[str, Any]]) -> None:
    """A line for each step that is forecast, with the time where there are times."""
    levels = next((list(answer["quantiles"]) for answer in answers if "quantiles" in answer), [])
    timed = any("time" in answer for answer in answers)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["series", "time" if timed else "step", "forecast", *(f"q({level})" for level in levels), "error"])
    for answer in answers:
        if "error" in answer:
            writer.writerow([answer.get("series"), "", "", *([""] * len(levels)), answer["error"]])
            continue
        places = answer.get("time", range(1, len(answer["forecast"]) + 1))
        columns = [answer["quantiles"][level] for level in levels]
        for place, *numbers in zip(places, answer["forecast"], *columns, strict=True):
            writer.writerow([answer["series"], place, *numbers, ""])


def _print_labels(answers: list[dict[str, Any]], *, labels: tuple[str, ...]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["input", "prediction", *(f"p({label})" for label in labels), "error"])
    for answer in answers:
        chances = answer.get("probabilities", {})
        said = answer.get("prediction", "")
        said = "|".join(said) if isinstance(said, list) else said
        writer.writerow([answer["input"], said, *(chances.get(label, "") for label in labels), answer.get("error", "")])
