"""Texts written for sources, in the order of the rows: batches that fit, and what a reader is shown of each text."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.bundle import AnyBundle, Bundle
from seqloom.config import DecodingSettings, ModelSettings
from seqloom.data import Example, Rejected, Seen, evaluation_order, read
from seqloom.data.text_targets import TextTargets
from seqloom.errors import ConfigError
from seqloom.models import TextDecoder, TextWriter
from seqloom.models.decoding import Hypothesis, diverse, write
from seqloom.text import UNKNOWN

BATCH = 64
ROOM = 1 << 26  # numbers kept while a batch is written: log-probabilities, and what each token attends to
FOLLOWED = 8  # texts followed at once for each that is suggested
MOST_SUGGESTED = 100
SHORT = 16  # tokens of a suggestion, where there are such
WORD = re.compile(r"\w+(?:[-.'’]\w+)*|\S")


class Written(NamedTuple):
    """A text that a model wrote: its tokens, their mean log-probability, what each attended to (T, S), if anything."""

    text: str
    tokens: list[str]
    score: float
    attention: Tensor | None


class Wanted(NamedTuple):
    """How many texts: the best ones, `alternatives` at most, or where `suggest` is set so many that differ.

    `seed` decides what is drawn, where texts are drawn.
    """

    alternatives: int = 1
    suggest: int | None = None
    seed: int = 0


THE_BEST = Wanted()


def check_decoding(settings: DecodingSettings, model: ModelSettings, *, asked: Collection[str]) -> None:
    """Raise ConfigError for one of the settings `asked` for that changes nothing beside the others."""
    drawn, default = settings.temperature > 0, DecodingSettings()
    for name in ("top_k", "top_p"):
        if name in asked and getattr(settings, name) != getattr(default, name) and not drawn:
            raise ConfigError(f"decoding.{name} cuts what is drawn from. Set decoding.temperature above 0 to draw.")
    if "beam" in asked and drawn and settings.beam not in (1, default.beam):
        raise ConfigError(
            "decoding.beam follows the likeliest texts, but with a decoding.temperature texts are drawn. Leave out one."
        )
    if "coverage_penalty" in asked and settings.coverage_penalty and (drawn or model.attention == "none"):
        why = "with a decoding.temperature texts are drawn" if drawn else "this model has no attention"
        raise ConfigError(f"decoding.coverage_penalty compares texts of a beam by their attention, but {why}.")


def text_answers(bundle: Bundle, rows: Sequence[Example], *, suggest: int | None) -> Iterator[dict[str, Any]]:
    """The plain answer to each row, as `answer_table` says: the best text with its score, and the next ones."""
    for row, texts in zip(rows, write_for(bundle, rows, suggest=suggest), strict=True):
        best, *others = texts
        alternatives = [{"prediction": other.text, "score": round(other.score, 6)} for other in others]
        yield {
            "input": row.text,
            "prediction": best.text,
            "score": round(best.score, 6),
            "alternatives": alternatives,
        }


def suggesting(bundle: AnyBundle, suggest: int) -> Bundle:
    """The model, following as many texts at once as so many suggestions need. Raises ConfigError."""
    if not isinstance(bundle, Bundle) or not isinstance(bundle.model, TextDecoder):
        raise ConfigError("suggest: this model writes no texts. Train one with --task translate on pairs of messages.")
    if not 1 <= suggest <= MOST_SUGGESTED:
        raise ConfigError(f"suggest is {suggest}, but must lie in 1..{MOST_SUGGESTED}.")
    settings = bundle.config.decoding
    wider = settings.model_copy(update={"beam": max(settings.beam, FOLLOWED * suggest)})
    return bundle._replace(config=bundle.config.model_copy(update={"decoding": wider}))


def write_for(
    bundle: Bundle, rows: Sequence[Example], *, alternatives: int | None = None, suggest: int | None = None
) -> list[list[Written]]:
    """The best texts for each row, best first: `alternatives` of them, or as many as its model follows at once.

    With `suggest` so many of these that differ.
    """
    assert isinstance(bundle.model, TextDecoder) and isinstance(bundle.targets, TextTargets)
    settings = bundle.config.decoding
    if alternatives is None:
        alternatives = settings.beam if suggest or not settings.temperature else 1
    return write_texts(
        bundle.model,
        bundle.targets,
        [row.source for row in rows],
        settings,
        words=[_spoken(bundle, row) for row in rows] if settings.replace_unknown else None,
        wanted=Wanted(alternatives, suggest, bundle.config.seed),
    )


def _spoken(bundle: Bundle, row: Example) -> list[str] | None:
    """What stands for each token of the source where it is written: itself, or where words are written its whole word.

    None where nothing of the source can be written.
    """
    if row.seen is not None:
        return None
    assert isinstance(bundle.targets, TextTargets)
    reads, written = bundle.tokeniser, bundle.targets.tokeniser.kind
    if reads.kind == written:
        return reads.texts(row.text)[: len(row.ids)]
    if written != "word":
        return None
    words = {place: word.group() for word in WORD.finditer(row.text) for place in range(*word.span())}
    return [words.get(token.end - 1, token.text) for token in reads.tokens(row.text)[: len(row.ids)]]


@torch.inference_mode()
def write_texts(
    model: TextDecoder,
    targets: TextTargets,
    sequences: Sequence[Sequence[int] | Seen],
    settings: DecodingSettings,
    *,
    wanted: Wanted = THE_BEST,
    words: Sequence[Sequence[str] | None] | None = None,
    batch_size: int = BATCH,
) -> list[list[Written]]:
    """The best texts for each sequence of ids, image or features, best first, in the order given.

    `words` has for each token of each source what is written for an unknown token that attends to it.
    Sources of similar length are read together, as many as there is room for; what is written of one that has not
    enough alone is cut short. The model is left in the mode it was in.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    followed = _followed(settings, wanted.alternatives)
    lengths = list(map(len, sequences))
    longest = [min(_longest(targets, settings, length), _room(length, followed)) for length in lengths]
    written: list[list[Written]] = [[] for _ in sequences]
    writer = TextWriter(model, weights=settings.weights)
    for rows in _batches(lengths, longest, followed, len(targets.vocabulary), batch_size=batch_size):
        texts = write(
            writer,
            writer.begin(read([sequences[row] for row in rows]).to(device)),
            [longest[row] for row in rows],
            settings,
            seed=wanted.seed,
            numbers=rows,
            alternatives=wanted.alternatives,
            source_lengths=[lengths[row] for row in rows],
        )
        for row, best in zip(rows, texts, strict=True):
            chosen = best if wanted.suggest is None else _different(targets, best, wanted.suggest)
            source = None if words is None else words[row]
            written[row] = [_as_text(targets, hypothesis, source) for hypothesis in chosen]
    model.train(training)
    return written


def within_room(row: Example | Rejected, targets: TextTargets, settings: DecodingSettings) -> Example | Rejected:
    """The row, or why nothing can be written for it."""
    if isinstance(row, Rejected):
        return row
    length = len(row.source)
    longest, room = _longest(targets, settings, length), _room(length, _followed(settings, 1))
    if longest <= room:
        return row
    return Rejected(
        row.line,
        f"{length:,} tokens to read and {longest:,} to write are too many at once. Split the text, or set "
        f"decoding.max_output to {room:,} or less",
    )


def _longest(targets: TextTargets, settings: DecodingSettings, length: int) -> int:
    """The tokens at most that are written for a source of so many."""
    return settings.max_output or targets.longest(length)


def _followed(settings: DecodingSettings, alternatives: int) -> int:
    """The texts of one source that are written at once."""
    return alternatives if settings.temperature else settings.beam


def _room(length: int, followed: int) -> int:
    """The tokens for which what each attends to, of a source of so many, can be kept."""
    return ROOM // (followed * max(length, 1))


def _batches(
    lengths: Sequence[int], longest: Sequence[int], followed: int, vocabulary_size: int, *, batch_size: int
) -> Iterator[list[int]]:
    """All rows in batches of similar lengths, none with more than there is room for."""
    for rows in evaluation_order(lengths, batch_size=batch_size):
        steps = max(lengths[row] for row in rows) * max(longest[row] for row in rows)
        size = max(1, ROOM // (followed * max(steps, vocabulary_size)))
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _different(targets: TextTargets, texts: Sequence[Hypothesis], count: int) -> list[Hypothesis]:
    """So many of `texts` that differ in more than case and punctuation, short ones first.

    The best one where there is none but such that are empty without it.
    """
    found = diverse(texts, count, key=lambda tokens: _plain_words(targets.decode(tokens)), longest=SHORT)
    return found or list(texts[:1])


def _plain_words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _as_text(targets: TextTargets, hypothesis: Hypothesis, source: Sequence[str] | None) -> Written:
    tokens = targets.tokens(hypothesis.tokens)
    if source is not None and hypothesis.attention is not None:
        attended = hypothesis.attention.argmax(dim=1).tolist()
        for place, token in enumerate(hypothesis.tokens):
            if token == UNKNOWN:
                tokens[place] = source[attended[place]]
    score = hypothesis.score / (len(tokens) + 1)
    return Written(targets.join(tokens), tokens, score, hypothesis.attention)
