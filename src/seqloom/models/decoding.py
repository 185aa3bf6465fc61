"""How a text is written, token by token, by whatever can take one step: a decoder, a language model, a table.

start -> step -> log-probabilities -> the tokens chosen (the best, drawn ones, or a beam of them) -> step -> ... -> END

What is written for a sentence is a function of that sentence alone, ties included: of equal tokens the lower id goes
first, of equal texts the one that was found earlier. So a batch changes nothing, given that the writer's step does not
mix its rows. Finished rows leave the batch.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from seqloom.config import DecodingSettings
from seqloom.errors import ConfigError, LengthError
from seqloom.models.beam import beam
from seqloom.models.writer import (
    END,
    MOST_AHEAD,
    ROOT,
    START,
    AheadWriter,
    Hypothesis,
    Node,
    Record,
    S,
    Writer,
    check_given,
    likeliest,
    power,
    spelled,
    unrepeated,
)
from seqloom.shapes import Float, Int

__all__ = ["END", "START", "Hypothesis", "Writer", "beam", "diverse", "greedy", "sample", "write"]

SMALL_NUCLEUS = 256  # tokens: what top_p leaves is looked for here before all are sorted


@torch.no_grad()
def write(
    writer: Writer[S],
    state: S,
    longest: Sequence[int],
    settings: DecodingSettings,
    *,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
    alternatives: int = 1,
    source_lengths: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """The best texts of each sentence, best first: drawn ones where a temperature is set, else by beam or greedily.

    `longest` has one number a sentence, the rows of `state`: a text of so many tokens is ended there, whatever END's
    probability, which counts in its score as in any other. 0 gives the empty text.
    `alternatives` is how many texts a sentence gets: exactly so many of drawn ones, at most `settings.beam` else.
    `numbers` tell sentences apart when drawing, 0, 1, 2 ... where not given. `source_lengths` are the real source
    steps: attention and coverage end there.

    Raises LengthError or ConfigError for arguments that do not fit, SeqloomError for a writer that gives no
    log-probabilities: NaN, -inf for all tokens, or numbers above 0.
    """
    numbers = range(len(longest)) if numbers is None else numbers
    _check_arguments(longest, numbers, source_lengths, alternatives)
    if not longest:
        return []
    if settings.temperature > 0:
        return sample(writer, state, longest, settings, seed, numbers, alternatives, source_lengths)
    if settings.beam == 1:
        return [[best] for best in greedy(writer, state, longest, settings, source_lengths)]
    return beam(writer, state, longest, settings, alternatives, source_lengths)


def greedy(
    writer: Writer[S],
    state: S,
    longest: Sequence[int],
    settings: DecodingSettings,
    source_lengths: Sequence[int] | None = None,
) -> list[Hypothesis]:
    """One text a sentence: at each step the likeliest token."""
    return _one_each(writer, state, longest, settings.no_repeat, source_lengths, draw=None)


def sample(
    writer: Writer[S],
    state: S,
    longest: Sequence[int],
    settings: DecodingSettings,
    seed: int,
    numbers: Sequence[int],
    alternatives: int = 1,
    source_lengths: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """So many drawn texts a sentence, best first. Probabilities are p^(1/temperature), cut to top_k, then to top_p.

    top_p keeps the fewest likeliest tokens that have this share together (Holtzman et al. 2020). Each text has random
    numbers of its own, one a step, so it hangs on the seed and the sentence's number, not on the batch.
    """
    rows = [row for row in range(len(longest)) for _ in range(alternatives)]
    if alternatives > 1:
        state = writer.select(state, torch.tensor(rows))
    own = [random.Random(f"{seed} {number} {text}") for number in numbers for text in range(alternatives)]

    def draw(log_probabilities: Tensor, best: Tensor, open_rows: list[int]) -> Tensor:
        uniform = torch.tensor([own[row].random() for row in open_rows], dtype=torch.float64, device=best.device)
        return _drawn(log_probabilities, best, uniform, settings)

    lengths = None if source_lengths is None else [source_lengths[row] for row in rows]
    texts = _one_each(writer, state, [longest[row] for row in rows], settings.no_repeat, lengths, draw)

    def order(text: Hypothesis) -> float:
        return -text.score / power(len(text.tokens) + 1, settings.length_penalty)

    groups = (texts[first : first + alternatives] for first in range(0, len(texts), alternatives))
    return [sorted(group, key=order) for group in groups]


def diverse(
    hypotheses: Sequence[Hypothesis],
    count: int,
    *,
    key: Callable[[list[int]], Sequence[Hashable]] = tuple,
    weight: float = 1.0,
    longest: int | None = None,
) -> list[Hypothesis]:
    """At most `count` texts that say different things, out of `hypotheses`, best first: what a messenger suggests.

    The first is the best; each next one has the highest log-probability a token less `weight` times the overlap with
    the nearest of those chosen (maximal marginal relevance, Carbonell & Goldstein 1998). `key` gives what of a text
    matters, such as its words without case and punctuation: no two texts of the same key are chosen, and none whose
    key is empty. Texts longer than `longest` come only after all others.
    """
    by_key: dict[tuple[Hashable, ...], Hypothesis] = {}
    for text in hypotheses:
        by_key.setdefault(tuple(key(text.tokens)), text)
    by_key.pop((), None)
    chosen: list[tuple[Hashable, ...]] = []

    def worth(words: tuple[Hashable, ...]) -> tuple[bool, float]:
        text = by_key[words]
        short = longest is None or len(text.tokens) <= longest
        if not chosen:
            return short, 0.0  # the order of `hypotheses` decides
        likeness = max(_overlap(words, other) for other in chosen)
        return short, text.score / (len(text.tokens) + 1) - weight * likeness

    while len(chosen) < min(count, len(by_key)):
        chosen.append(max((words for words in by_key if words not in chosen), key=worth))
    return [by_key[words] for words in chosen]


# One text a sentence


def _one_each(
    writer: Writer[S],
    state: S,
    longest: Sequence[int],
    no_repeat: int,
    source_lengths: Sequence[int] | None,
    draw: Callable[[Tensor, Tensor, list[int]], Tensor] | None,
) -> list[Hypothesis]:
    nodes = [ROOT] * len(longest)
    scores = [0.0] * len(longest)
    rows, record = list(range(len(longest))), Record()
    tokens = torch.full((len(longest),), START)
    written = torch.empty(len(longest), 0, dtype=torch.int64)
    likeliest_only = draw is None and not no_repeat

    def follow(ids: list[int], gains: list[float], place: int) -> list[int]:
        """Which of the open rows go on after these tokens."""
        for at, row in enumerate(rows):
            scores[row] += gains[at]
            nodes[row] = Node(nodes[row], ids[at], place + at)
        return [at for at, token in enumerate(ids) if token != END]

    length = 0
    while True:
        free = min(min(longest[row] for row in rows) - length, MOST_AHEAD)  # steps at which no text must end
        taken = None
        if likeliest_only and free > 0 and isinstance(writer, AheadWriter):
            taken = writer.ahead(tokens, state, free)
        if taken is not None:
            steps, bests, shares, state = taken
            place = record.add(None if shares is None else shares.flatten(0, 1))
            for ids, gains in zip(steps.tolist(), bests.tolist(), strict=True):
                length += 1
                check_given(gains, None, length)
                going = follow(ids, gains, place)
                place += len(rows)
            chosen = steps[-1]
        else:
            length += 1
            given, weights, state = writer.step(tokens, state)
            place = record.add(weights)
            allowed = unrepeated(given, written, no_repeat)
            best, chosen = allowed.max(dim=-1)
            gains = ceilings = best.tolist()
            check_given(ceilings, given, length)
            if draw is not None:
                chosen = draw(allowed, best, rows)
                gains = allowed.gather(1, chosen[:, None])[:, 0].tolist()
            ids = chosen.tolist()
            for at, row in enumerate(rows):
                if length > longest[row] or ceilings[at] == -math.inf:  # no room, or nothing that would not repeat
                    ids[at], gains[at] = END, float(given[at, END])
            going = follow(ids, gains, place)
        if not going:
            break
        if len(going) < len(rows):
            kept = torch.tensor(going)
            state, written, chosen = writer.select(state, kept), written.index_select(0, kept), chosen.cpu()[kept]
            rows = [rows[at] for at in going]
        tokens = chosen.cpu()
        if no_repeat:
            written = torch.cat([written, tokens[:, None]], dim=1)
    lengths = [None] * len(longest) if source_lengths is None else source_lengths
    return [spelled(node, score, record, steps) for node, score, steps in zip(nodes, scores, lengths, strict=True)]


def _drawn(
    log_probabilities: Float[Tensor, "R V"],
    best: Float[Tensor, " R"],
    uniform: Float[Tensor, " R"],
    settings: DecodingSettings,
) -> Int[Tensor, " R"]:
    """The token at which the cumulative probability passes `uniform`, in float64."""
    values, ids = log_probabilities, None
    if settings.top_k:
        values, ids = likeliest(values, settings.top_k)
    # Against the best: exp never overflows, and a temperature near 0 leaves just that token.
    shares = ((values.double() - best.double()[:, None]) / settings.temperature).exp()
    if settings.top_p < 1:
        shares, places = _nucleus(shares, settings.top_p)
        ids = places if ids is None else ids.gather(1, places)
    reached = shares.cumsum(-1)
    total = reached[:, -1:]
    target = torch.minimum(uniform[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    place = torch.searchsorted(reached, target, right=True).clamp(max=shares.shape[-1] - 1)
    return (place if ids is None else ids.gather(1, place))[:, 0]


def _nucleus(shares: Float[Tensor, "R V"], top_p: float) -> tuple[Float[Tensor, "R K"], Int[Tensor, "R K"]]:
    """The highest shares that have `top_p` of the whole together, highest first, then zeros; and their places."""
    wanted = top_p * shares.cumsum(-1)[:, -1:]
    highest, places = likeliest(shares, SMALL_NUCLEUS)
    if (highest.cumsum(-1)[:, -1:] < wanted).any():
        highest, places = likeliest(shares, shares.shape[-1])
    return highest.where(highest.cumsum(-1) - highest < wanted, 0), places


def _overlap(some: Sequence[Hashable], others: Sequence[Hashable]) -> float:
    """The share of tokens that two texts have in common, 0 to 1 (Dice's coefficient)."""
    common = sum((Counter(some) & Counter(others)).values())
    return 2 * common / (len(some) + len(others))


def _check_arguments(
    longest: Sequence[int], numbers: Sequence[int], source_lengths: Sequence[int] | None, alternatives: int
) -> None:
    rows = len(longest)
    for name, given in (("numbers", numbers), ("source_lengths", source_lengths)):
        if given is not None and len(given) != rows:
            raise LengthError(f"There are {len(given)} {name} for {rows} sentences. Give one for each.")
    if rows and min(longest) < 0:
        raise LengthError(f"longest is {min(longest)} for a sentence, but a text has 0 tokens or more.")
    if alternatives < 1:
        raise ConfigError(f"alternatives is {alternatives}, but must be 1 or more: the texts that a sentence gets.")
