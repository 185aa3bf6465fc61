"""How a text was read, in a terminal: the coloured text, below it what each token adds and what was thought by then."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from seqloom.cli.charts import BLOCKS, blocks_of, visible
from seqloom.cli.escape import escaped
from seqloom.cli.tables import plain_table, print_table, print_text, width_of_output
from seqloom.lens import Layer, Reading
from seqloom.lens.memory import KEEPS

FOR, AGAINST = (140, 195, 240), (245, 180, 130)  # behind black letters: readable whatever the terminal's background is
FAINT = 0.1  # of the largest share: below, a token is not coloured
BY_TOKEN = 40  # tokens that are shown one by one
STRONGEST = 10
CHANCES = 5


def print_reading(seen: Reading) -> None:
    """The answer, the text in colours, its tokens (in a long text the strongest), and what the numbers say."""
    print(escaped(answer_line(seen.answer)))
    print_text(_coloured(seen))
    if len(seen.tokens) <= BY_TOKEN:
        _print_tokens(seen)
    else:
        _print_strongest(seen)
        _print_arrivals(seen)
    for sentence in seen.findings:
        print(escaped(f"- {sentence}").replace("\n", " "))


def answer_line(answer: Mapping[str, Any]) -> str:
    """What is answered, and how sure that is."""
    said = answer["prediction"]
    if isinstance(said, float):
        return f"{said:g}"
    chances = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:CHANCES]
    told = ", ".join(said) if isinstance(said, list) else said
    return f"{told or 'none of the labels'}   ({'  '.join(f'{label} {chance:.1%}' for label, chance in chances)})"


def _coloured(seen: Reading) -> Text:
    """The text as it was given; its tokens blue where they speak for the answer, orange where against it."""
    shown = Text()
    most = max(map(abs, seen.saliency.shares), default=0.0) or 1.0
    end = 0
    for token, share in zip(seen.tokens, seen.saliency.shares, strict=True):
        start = max(token.start, end)
        shown.append(escaped(seen.text[end:start]))
        shown.append(escaped(seen.text[start : max(end, token.end)]), style=style_of(share / most))
        end = max(end, token.end)
    return shown.append(escaped(seen.text[end:]), style="dim" if seen.cut else "")


def style_of(share: float) -> str:
    """The colour of a share from -1 to 1."""
    if abs(share) < FAINT:
        return ""
    pale = [round(255 - abs(share) * (255 - part)) for part in (FOR if share > 0 else AGAINST)]
    return f"black on rgb({pale[0]},{pale[1]},{pale[2]})"


def _print_tokens(seen: Reading) -> None:
    """A column for each token, in as many tables as the width needs."""
    rows = {"share": [f"{share:+.2f}" for share in seen.saliency.shares]}
    rows |= {
        "without": [
            f"{-seen.saliency.occluded[at]:+.2f}" if at in seen.saliency.occluded else "" for at in _places(seen)
        ]
    }
    rows |= _arrived(seen)
    for layer in seen.layers:
        rows |= memory_rows(layer, several=len(seen.layers) > 1)
    tokens = [escaped(visible(token.text)) + ("" if token.known else " *") for token in seen.tokens]
    margin = max(map(len, rows)) + 2
    widths = [max(len(token), 5) for token in tokens]
    for start, end in blocks_of(widths, room=width_of_output() - margin):
        table = plain_table("")
        for token in tokens[start:end]:
            table.add_column(Text(token), justify="right")
        for name, cells in rows.items():
            table.add_row(Text(escaped(name)), *map(Text, cells[start:end]))
        print_table(table)


def _places(seen: Reading) -> range:
    return range(len(seen.tokens))


def _arrived(seen: Reading) -> dict[str, list[str]]:
    """The answer after each token, where it was asked for: the probability of what is answered in the end."""
    values = dict(zip(seen.arrivals.steps, seen.arrivals.values, strict=True))
    if seen.saliency.about is None:
        return {"so far": [f"{values[at + 1][0]:.4g}" if at + 1 in values else "" for at in _places(seen)]}
    label = seen.labels.index(seen.saliency.about)
    name = f"{seen.saliency.about} by then"
    return {name: [f"{values[at + 1][label]:.0%}" if at + 1 in values else "" for at in _places(seen)]}


def memory_rows(layer: Layer, *, several: bool) -> dict[str, list[str]]:
    """How far the state of a layer moved at each token, and the gate that keeps it."""
    where = f"{layer.name}: " if several else ""
    most = max(layer.moved, default=0.0) or 1.0
    rows = {f"{where}state moved": [BLOCKS[round(8 * moved / most)] * 3 for moved in layer.moved]}
    kept = {name: gate for name, gate in layer.gates.items() if name in KEEPS}
    return rows | {f"{where}{name} gate": [f"{value:.2f}" for value in gate] for name, gate in kept.items()}


def _print_strongest(seen: Reading) -> None:
    shares, lost = seen.saliency.shares, seen.saliency.occluded
    order = sorted(_places(seen), key=lambda at: (-abs(shares[at]), at))[:STRONGEST]
    table = plain_table("token", "place", "share", "without")
    for at in order:
        without = f"{-lost[at]:+.2f}" if at in lost else ""
        table.add_row(Text(escaped(visible(seen.tokens[at].text))), f"{at + 1}", f"{shares[at]:+.2f}", without)
    print_table(table)


def _print_arrivals(seen: Reading) -> None:
    """The answer after some of the tokens, as columns of blocks or as numbers."""
    steps, values = seen.arrivals.steps, seen.arrivals.values
    if seen.saliency.about is None:
        print(
            "after so many tokens:",
            "  ".join(f"{step}: {value[0]:.4g}" for step, value in zip(steps, values, strict=True)),
        )
        return
    label = seen.labels.index(seen.saliency.about)
    line = "".join(BLOCKS[round(8 * value[label])] for value in values)
    print(escaped(f"{seen.saliency.about}, from token {steps[0]} to {steps[-1]}: |{line}|"))
