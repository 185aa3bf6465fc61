"""What models see, as the parts of a page: the same for a file, a notebook and whoever else shows HTML."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seqloom.lens.figures import forecast_figure, heat_map
from seqloom.lens.figures_reading import arrivals_figure, gates_figure, shares_figure, token_names, values_figure
from seqloom.lens.html import Html, Piece, bullets, heading, paragraph, strip, table
from seqloom.lens.page import Part
from seqloom.lens.reading_findings import signed

if TYPE_CHECKING:
    from seqloom.lens.attention import AttentionMap
    from seqloom.lens.memory import Layer
    from seqloom.lens.numbers_saliency import NumbersSaliency
    from seqloom.lens.reading import Reading
    from seqloom.lens.saliency import Saliency
    from seqloom.lens.series import SeriesView
    from seqloom.lens.surprise import Surprises
    from seqloom.lens.tags import TagTable

STRONGEST = 10  # tokens of the table
BARS = 120  # tokens that can be told apart as bars
SURPRISING = 12.0  # bits that are coloured most


def brief_reading(seen: "Reading") -> list[Part]:
    """The answer, the coloured text, what it says, and the answer as each token arrives."""
    return [
        answer_said(seen.answer),
        _strip(seen),
        _legend(seen),
        bullets(seen.findings),
        arrivals_figure(seen),
        _strongest(seen),
    ]


def whole_reading(seen: "Reading") -> list[Part]:
    """All of a reading: with what each token adds, and gates and states of each layer."""
    parts = brief_reading(seen)
    if len(seen.tokens) <= BARS:
        parts.append(shares_figure(seen))
    return [*parts, *memory_parts(seen.layers, token_names(seen))]


def memory_parts(layers: Sequence["Layer"], steps: Sequence[str], *, unit: str = "token") -> list[Part]:
    """The gates and states of each layer, over `steps` by their names."""
    parts: list[Part] = []
    for layer in layers:
        parts.append(heading(f"Memory: {layer.name}"))
        parts.append(gates_figure(layer, steps, unit=unit))
        parts += [values_figure(layer, what, steps, unit=unit) for what in layer.values]
    return parts


def attention_parts(seen: "AttentionMap") -> list[Part]:
    """What was read and written, and where the model looked."""
    figure = heat_map(seen, title="What each token written attended to")
    said = [paragraph(f"Read: {seen.text}"), paragraph(f"Written: {seen.prediction}")]
    return [*said, paragraph("This model has no attention.") if figure is None else figure]


def series_parts(seen: "SeriesView") -> list[Part]:
    """The end of a series, its forecast and the band, and the forecast as a table."""
    steps = zip(seen.times[len(seen.history) :], *seen.quantiles.values(), strict=True)
    rows = [[time, *(f"{value:,.6g}" for value in values)] for time, *values in steps]
    figure = forecast_figure(seen, title=f"{seen.series}: the next {len(seen.forecast)} steps")
    return [
        figure,
        table(["step", *seen.quantiles], rows, caption="The forecast by quantile; 0.5 is the forecast itself"),
    ]


def tag_parts(seen: "TagTable") -> list[Part]:
    """The words, their tags and what else they might have been."""
    rows = [
        [
            token + ("" if known else " *"),
            tag,
            ", ".join(f"{chance.tag} {chance.probability:.2f}" for chance in chances),
        ]
        for token, tag, chances, known in zip(seen.tokens, seen.tags, seen.chances, seen.known, strict=True)
    ]
    note = "" if all(seen.known) else "; * not in the training rows"
    return [table(["word", "tag", "likeliest"], rows, caption=f"The likeliest tags of each word{note}", texts=3)]


def surprise_parts(seen: "Surprises") -> list[Part]:
    """The text, the more coloured the more it surprised, and what was expected."""
    pieces = [
        Piece(token, -bits / SURPRISING, f"{bits:.1f} bits") for token, bits in zip(seen.tokens, seen.bits, strict=True)
    ]
    read = [(token, f"{bits:.1f}") for token, bits in zip(seen.tokens, seen.bits, strict=True)]
    rows = [
        [token, bits, "  ".join(f"{guess} {chance:.0%}" for guess, chance in expected)]
        for (token, bits), expected in zip([*read, ("...", "")], seen.likeliest, strict=True)
    ]
    caption = f"Surprise in bits, {seen.bits_per_token:.2f} a token, and what was expected in its place"
    return [
        strip(pieces, label="the text, coloured by surprise"),
        table(["token", "bits", "expected"], rows, caption=caption),
    ]


def answer_said(answer: Mapping[str, Any]) -> Html:
    """What the model answers, and how sure it is."""
    prediction = answer["prediction"]
    if isinstance(prediction, float):
        return paragraph(f"Answer: {prediction:g}")
    said = ", ".join(prediction) if isinstance(prediction, list) else prediction
    chances = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:STRONGEST]
    told = ", ".join(f"{label} {chance:.1%}" for label, chance in chances)
    return paragraph(f"Answer: {said or 'none of the labels'} ({told})")


def _strip(seen: "Reading") -> Html:
    """The text as it was given, its tokens coloured by their shares."""
    shares = seen.saliency.shares
    most = max(map(abs, shares), default=0.0) or 1.0
    pieces: list[Piece] = []
    end = 0
    for token, share in zip(seen.tokens, shares, strict=True):
        if token.end <= end:  # another token of a character that stands there already
            continue
        start = max(token.start, end)
        pieces += [Piece(seen.text[end:start])] * (start > end)
        pieces.append(Piece(seen.text[start : token.end], share / most, f"{token.text}: {share:+.3f}"))
        end = token.end
    rest = seen.text[end:]
    return strip(
        [*pieces, Piece(rest, None, "not read" if seen.cut else "")], label="the text, coloured by what it adds"
    )


def _legend(seen: "Reading") -> Html:
    """What the colours mean."""
    return legend_of(seen.saliency, without="without any word")


def legend_of(
    saliency: "Saliency | NumbersSaliency", *, without: str, signs: tuple[str, str] = ("Blue", "orange")
) -> Html:
    """What the `signs` of a share mean, from the value `without` all that is read to the one that is explained."""
    what = "a higher number" if saliency.about is None else f'"{saliency.about}"'
    unit = "" if saliency.about is None else " log odds"
    value, baseline, gap = (
        signed(each, about=saliency.about) for each in (saliency.value, saliency.baseline, saliency.gap)
    )
    left = f", {gap} left out" if abs(saliency.gap) >= 0.005 else ""
    return paragraph(
        f"{signs[0]} speaks for {what}, {signs[1]} against it: from {baseline} {without} to "
        f"{value}{unit} (integrated gradients, {saliency.points} points{left})."
    )


def _strongest(seen: "Reading") -> Html:
    """The tokens that add most, and the check of them."""
    shares, lost = seen.saliency.shares, seen.saliency.occluded
    order = sorted(range(len(shares)), key=lambda place: (-abs(shares[place]), place))[:STRONGEST]
    rows = [
        [seen.tokens[at].text, str(at + 1), f"{shares[at]:+.3f}", f"{lost[at]:+.3f}" if at in lost else ""]
        for at in order
    ]
    head = ["token", "place", "share", "lost without it"]
    return table(head, rows, caption="The tokens that add most, and what the answer loses where one alone is nothing")
