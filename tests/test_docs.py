"""The pages say what is so: their examples run, their commands exist, their tables are those of the code.

Within a page the python blocks share one namespace; a text block right below one is exactly what it prints.
"""

import contextlib
import csv
import inspect
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest
import torch
import typer

from benchmarks.page import render
from seqloom.cli import app
from seqloom.config import Config
from seqloom.data import FINDINGS, reviews
from seqloom.nn import GRU, LSTM, SimpleRNN

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LAYERS = (SimpleRNN, LSTM, GRU)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPERATOR = re.compile(r"\s+(?:\||>|<|&&)\s+")


class Block(NamedTuple):
    """A fenced block of a page; `below` says whether it follows another one with nothing in between."""

    language: str
    line: int
    text: str
    below: bool


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    end = 0
    for found in FENCE.finditer(text):
        between = text[end : found.start()]
        yield Block(found[1], text.count("\n", 0, found.start()) + 1, found[2], not between.strip() and end > 0)
        end = found.end()


def commands() -> list[Any]:
    lines = []
    for page in PAGES:
        for block in blocks(page):
            if block.language not in ("console", ""):
                continue
            for number, line in enumerate(block.text.splitlines(), start=block.line + 1):
                for part in OPERATOR.split(line.removeprefix("$ ")):
                    if part.startswith("seqloom "):
                        lines.append(pytest.param(part, id=f"{page.name}:{number}"))
    return lines


def generated(page: str, name: str) -> str:
    """What stands between the markers `name` and `end` of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.search(rf"^<!-- {name}:[^\n]* -->\n(.*?)^<!-- end -->$", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{page} has no part between <!-- {name}: ... --> and <!-- end -->"
    return found[1]


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table without its head."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def write_rows(path: Path, count: int, *, seed: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *reviews(count, seed=seed)])


# Examples


LEARNS_LONG = {"translate.md", "forecast.md", "generate.md"}
EPOCHS = re.compile(r'"epochs": \d+')
REACHED = re.compile(r"^assert reached\[.*\n", re.MULTILINE)


def hurry(text: str) -> str:
    """The same example learning for one epoch, and without the lines that say how well it learned."""
    return REACHED.sub("", EPOCHS.sub('"epochs": 1', text))


def examples() -> Iterator[Any]:
    """Each page, and whether its examples are hurried; those that are, are also run to the letter in the long run."""
    for page in PAGES:
        yield pytest.param(page, page.name in LEARNS_LONG, id=page.name)
        if page.name in LEARNS_LONG:
            yield pytest.param(page, False, id=f"{page.name}-to the letter", marks=pytest.mark.long)


@pytest.mark.parametrize(("page", "hurried"), list(examples()))
def test_examples_run_and_print_what_the_page_says(
    page: Path, hurried: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not hurried or EPOCHS.search(page.read_text(encoding="utf-8")), "nothing here learns for long"
    monkeypatch.chdir(tmp_path)
    write_rows(Path("reviews.csv"), 60, seed=1)
    write_rows(Path("more-reviews.csv"), 20, seed=2)
    # What the README's example of a layer is applied to.
    namespace: dict[str, Any] = {"x": torch.randn(2, 3, 128), "lengths": [3, 1]}
    printed = None
    for block in blocks(page):
        if block.language == "python":
            out = io.StringIO()
            text = hurry(block.text) if hurried else block.text
            code = compile("\n" * block.line + text, page.name, "exec")
            with contextlib.redirect_stdout(out):
                exec(code, namespace)  # noqa: S102 - our own pages, to see whether they are true
            printed = out.getvalue()
        else:
            if block.language == "text" and block.below and printed is not None:
                assert printed.strip() == block.text.strip(), f"{page.name}:{block.line}"
            printed = None


# Commands and links


@pytest.mark.parametrize("line", commands())
def test_commands_have_the_arguments_and_options_that_a_page_gives_them(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    known = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - mypy knows no groups here
    assert name in known
    known[name].make_context(name, arguments).close()  # parses, and raises for what it does not know


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not target.startswith(("http://", "https://")):
            path, _, heading = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), target
            assert not heading or heading in headings(linked), target


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub names them."""
    found = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


# Tables


def test_settings_are_those_of_the_code() -> None:
    assert generated("training.md", "settings") == settings_table()


def settings_table() -> str:
    schema = Config.model_json_schema()
    lines = ["| setting | default | allowed | what it is |", "| --- | --- | --- | --- |"]
    for name, value in schema["properties"].items():
        if "$ref" in value:
            section = schema["$defs"][value["$ref"].rpartition("/")[2]]["properties"]
            lines += [_setting(f"{name}.{key}", inner) for key, inner in section.items()]
        else:
            lines.append(_setting(name, value))
    return "\n".join(lines) + "\n"


def _setting(name: str, value: dict[str, Any]) -> str:
    default = "none" if value["default"] is None else f"`{json.dumps(value['default'])}`"
    return f"| `{name}` | {default} | {_allowed(value)} | {value['description']} |"


def _allowed(value: dict[str, Any]) -> str:
    value = next((kind for kind in value.get("anyOf", []) if kind["type"] != "null"), value)
    if "enum" in value:
        return ", ".join(value["enum"])
    if value["type"] == "array":
        return f"numbers {_allowed(value['items'])}"
    if value["type"] in ("boolean", "string"):
        return {"boolean": "true, false", "string": "a text"}[value["type"]]
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return " ".join(f"{word} {value[key]}" for key, word in bounds.items() if key in value)


def test_benchmarks_are_those_of_the_kept_results() -> None:
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == render()


def test_findings_are_those_of_the_code() -> None:
    assert dict(cells(generated("data.md", "findings"))) == FINDINGS


def test_layer_options_and_their_defaults_are_those_of_the_code() -> None:
    told = {name.strip("`"): (default.strip("`"), layers) for name, default, layers, _ in option_rows()}
    options = {
        name: [layer for layer in LAYERS if name in keywords(layer)] for layer in LAYERS for name in keywords(layer)
    }
    assert told == {
        name: (str(keywords(layers[0])[name]), "all" if layers == list(LAYERS) else layers[0].__name__)
        for name, layers in options.items()
    }


def test_every_value_of_a_layer_option_is_named() -> None:
    hints = {name: hint for layer in LAYERS for name, hint in get_type_hints(layer.__init__).items()}
    for option, _, _, meaning in option_rows():
        hint = hints[option.strip("`")]
        if get_origin(hint) is Literal:
            assert [value for value in get_args(hint) if f"`{value}`" not in meaning] == []


def option_rows() -> list[list[str]]:
    return cells(generated("layers.md", "options"))


def keywords(layer: type) -> dict[str, Any]:
    """The keyword arguments of a layer with their defaults."""
    parameters = inspect.signature(layer).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
