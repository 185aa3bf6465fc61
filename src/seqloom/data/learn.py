"""What training learns of its rows before any model is built: tokens, vocabulary, labels, scale.

From the training rows and no others, or validation would know what it should not.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from seqloom.config import DataSettings, Task, Tokens
from seqloom.data.caption_targets import CaptionTargets
from seqloom.data.columns import Columns
from seqloom.data.kept import each, one_after_other, spread
from seqloom.data.rows import Table, read_text
from seqloom.data.sight import Sight
from seqloom.data.tag_targets import TagTargets, read_tags, read_words
from seqloom.data.tagged import cased_form, word_form
from seqloom.data.targets import Targets
from seqloom.data.text_targets import AnyTargets, TextTargets
from seqloom.data.tokens import choose_tokens, enough_pieces, single_words
from seqloom.errors import ConfigError
from seqloom.text import Tokeniser, Vocabulary, train_subwords

MOST_TOKENS = 50_000
LEARNED_FROM = 100_000_000  # characters of texts that subwords are learned from
_NUMBERS = dict.fromkeys(("series", "time", "frequency"), "forecast")
_NUMBERS |= {"frames": "series of numbers that are answered once"}
_PAIRS = {"target_tokens": "translate and caption", "joint_vocabulary": "translate"}
_IMAGES = {"image_size": "caption"}
_LABELS = {"label_separator": "classify"}
_READ = {"tokens": "tasks that read texts; what is written is set by target_tokens", "joint_vocabulary": "translate"}
_ROWS = {"max_length": "tasks that cut texts, row by row"}
# The settings that a task does not have, and whose they are.
FOREIGN: dict[Task, dict[str, str]] = {
    "classify": _NUMBERS | _PAIRS | _IMAGES,
    "regress": _NUMBERS | _PAIRS | _IMAGES,
    "translate": _NUMBERS | _LABELS | _IMAGES,
    "tag": _NUMBERS | _PAIRS | _LABELS | _ROWS | _IMAGES | {"tokens": "tasks that cut texts; here words are given"},
    "generate": _NUMBERS | _PAIRS | _LABELS | _ROWS | _IMAGES | {"target": "tasks with an answer"},
    "caption": _NUMBERS | _LABELS | _READ,
}


class _Side(NamedTuple):
    """How the texts of one column become ids."""

    tokeniser: Tokeniser
    vocabulary: Vocabulary
    notes: list[str]


class Learned(NamedTuple):
    """How texts become ids, what the targets are, and what was decided on the way."""

    tokeniser: Tokeniser
    vocabulary: Vocabulary
    targets: AnyTargets
    notes: list[str]


def check_settings(settings: DataSettings, *, task: Task) -> None:
    """Raise ConfigError for a setting that the task would ignore in silence, or that contradicts another."""
    for name, whose in FOREIGN.get(task, {}).items():
        if getattr(settings, name) not in (None, False):
            raise ConfigError(f"{name} is a setting of {whose}, the task is {task}.")
    if settings.joint_vocabulary and len({settings.tokens, settings.target_tokens} - {None}) > 1:
        raise ConfigError(
            f"joint_vocabulary needs the same tokens on both sides, but tokens is {settings.tokens} and "
            f"target_tokens is {settings.target_tokens}. Give one of them only, or leave joint_vocabulary out."
        )


def word_tokeniser(settings: DataSettings, *, task: Task) -> Tokeniser:
    """The tokeniser of these settings if words are read; where texts are written capitals count, unless it is said."""
    lowercase = task not in ("translate", "generate", "caption") if settings.lowercase is None else settings.lowercase
    return Tokeniser("word", lowercase, settings.normal_form)


def telling_tokeniser(settings: DataSettings, *, task: Task) -> Tokeniser:
    """A tokeniser that tells which texts are read as one, whatever is chosen and learned later; none but those."""
    words = word_tokeniser(settings, task=task)
    kind: Tokens = "word" if settings.tokens in (None, "word") else "character"
    return Tokeniser(kind, words.lowercase, words.normal_form)


def learn(train: Table, columns: Columns, settings: DataSettings, *, sight: Sight | None = None) -> Learned:
    """Learn from the rows for training; `sight` says how what they show is seen.

    Raises DataError where they hold nothing to learn.
    """
    if sight is not None:
        return _learn_captions(train, columns, settings, sight)
    if columns.task == "tag":
        return _learn_tags(train, columns, word_tokeniser(settings, task="tag"), settings)
    texts = each(train.values(columns.input), read_text)
    values = train.values(columns.target)
    words = word_tokeniser(settings, task=columns.task)
    if columns.task != "translate":
        # Words, unless most texts are one: then characters are chosen, and said, as for what is translated.
        kind = settings.tokens or (None if single_words(texts) else "word")
        read = _learn_side(texts, kind, words, settings, name=columns.input)
        targets = Targets.learn(values, task=columns.task, label_separator=settings.label_separator)
        return Learned(read.tokeniser, read.vocabulary, targets, read.notes)
    answers = each(values, lambda value: read_text(value, role="target").strip())
    if settings.joint_vocabulary:
        kind, name = settings.tokens or settings.target_tokens, f"{columns.input} and {columns.target}"
        read = written = _learn_side(one_after_other([texts, answers]), kind, words, settings, name=name)
        notes = read.notes
    else:
        read = _learn_side(texts, settings.tokens, words, settings, name=columns.input)
        written = _learn_side(answers, settings.target_tokens, words, settings, name=columns.target)
        notes = read.notes + written.notes
    return Learned(read.tokeniser, read.vocabulary, TextTargets(written.tokeniser, written.vocabulary), notes)


def _learn_captions(train: Table, columns: Columns, settings: DataSettings, sight: Sight) -> Learned:
    """What is learned of captions, and of the features that they tell of."""
    captions = [read_text(value, role="target").strip() for value in train.values(columns.target)]
    words = word_tokeniser(settings, task="caption")
    tokeniser, vocabulary, notes = _learn_side(captions, settings.target_tokens, words, settings, name=columns.target)
    fitted = sight.fitted(train.seen[row.line] for row in train.rows)
    return Learned(tokeniser, vocabulary, CaptionTargets(tokeniser, vocabulary, sight=fitted), notes)


def _learn_tags(train: Table, columns: Columns, tokeniser: Tokeniser, settings: DataSettings) -> Learned:
    """What is learned of sentences whose words are given, each with a tag."""
    given: Counter[tuple[str, str]] = Counter()
    at, target_at = (train.columns.index(column) for column in (columns.input, columns.target))
    for row in train.rows:
        words = read_words(row.values[at])
        given.update(zip(words, read_tags(row.values[target_at], words=words), strict=True))
    forms: Counter[str] = Counter()
    tagged: Counter[tuple[str, str]] = Counter()
    for (word, tag), count in given.items():
        forms[word_form(word, tokeniser)] += count
        tagged[cased_form(word, tokeniser), tag] += count
    vocabulary = Vocabulary.of_counts(
        forms, min_count=settings.min_count, max_size=settings.max_vocabulary or MOST_TOKENS
    )
    return Learned(tokeniser, vocabulary, TagTargets.learn(tagged), [])


def _learn_side(
    texts: Sequence[str], kind: Tokens | None, words: Tokeniser, settings: DataSettings, *, name: str
) -> _Side:
    """Tokeniser and vocabulary of one column, and what was chosen where it was not given."""
    notes = []
    if kind is None:
        kind, why = choose_tokens(texts, tokeniser=words)
        notes.append(f"tokens of {name}: {kind} ({why})")
    if kind != "subword":
        tokeniser = replace(words, kind=kind)
    else:
        size = settings.max_vocabulary or enough_pieces(texts)
        if settings.max_vocabulary is None:
            notes.append(f"subwords of {name}: {size:,} at most, for the amount of text (max_vocabulary sets it)")
        some = spread(texts, map(len, texts), LEARNED_FROM)
        if len(some) < len(texts):
            notes.append(f"subwords of {name}: learned from {len(some):,} of {len(texts):,} texts, evenly spread")
        model = train_subwords(some, size, normal_form=words.normal_form, lowercase=words.lowercase)
        tokeniser = replace(words, kind=kind, subword_model=model)
    most = settings.max_vocabulary or MOST_TOKENS
    vocabulary = Vocabulary.build(map(tokeniser.texts, texts), min_count=settings.min_count, max_size=most)
    return _Side(tokeniser, vocabulary, notes)
