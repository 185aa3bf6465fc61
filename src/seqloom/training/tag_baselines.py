"""What a tagger must beat: the tag each word has most often, and a linear model of the word and its neighbours."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np

from seqloom.data import Example
from seqloom.data.examples import lengths_of
from seqloom.data.kept import spread
from seqloom.data.tag_targets import TagTargets
from seqloom.errors import import_extra
from seqloom.training.events import Report, Said

STRENGTHS = (1e-5, 1e-6)  # alpha: how much weights are held small
FEATURES = 1 << 18
LEARNED_FROM = 500_000  # words that the linear model learns from
EPOCHS = 6
EDGE = "\0"
NEEDS = ("sklearn.feature_extraction", "sklearn.linear_model")


def most_frequent(targets: TagTargets, constant: int, rows: Sequence[Example]) -> list[list[int]]:
    """For each word the tag it had most often in training, `constant` for those that were not there."""
    return [[targets.lexicon.get(word, constant) for word in _words(row)] for row in rows]


def feature_logreg(
    train: Sequence[Example], valid: Sequence[Example], *, report: Report = lambda event: None
) -> Callable[[Sequence[Example]], list[list[int]]]:
    """What tags rows by a logistic regression on features of each word alone: `features_of`.

    Learned from `train` by stochastic gradient descent, one tag against all others, its strength chosen on `valid`;
    where these have more than 500,000 words, from rows that are evenly spread, and `report` is told so.
    Raises MissingExtraError without scikit-learn.
    """
    extraction, linear = (
        import_extra(name, extra="baselines", purpose="the comparison with a linear model") for name in NEEDS
    )
    hasher = extraction.FeatureHasher(FEATURES, input_type="string", alternate_sign=False)
    rows = len(train)
    train, valid = (spread(part, lengths_of(part), LEARNED_FROM) for part in (train, valid))
    if len(train) < rows:
        report(Said(f"the linear model learns from {len(train):,} of {rows:,} training rows, evenly spread"))
    known, heldout = (hasher.transform(_features(part)) for part in (train, valid))
    truth, heldout_truth = (np.array(_tags(part)) for part in (train, valid))
    models = (
        linear.SGDClassifier("log_loss", alpha=alpha, max_iter=EPOCHS, tol=None, average=True, random_state=0)
        for alpha in STRENGTHS
    )
    best = max((model.fit(known, truth) for model in models), key=lambda model: model.score(heldout, heldout_truth))

    def decide(asked: Sequence[Example]) -> list[list[int]]:
        decided = iter(best.predict(hasher.transform(_features(asked))).tolist())
        return [[next(decided) for _ in row.ids] for row in asked]

    return decide


def features_of(words: Sequence[str], place: int) -> list[str]:
    """What the linear model knows of a word: itself, its beginning and end, its shape, and two neighbours each way.

    The shape of "McDonald's-7" is "AaAa'a-9": runs of capitals, small letters and digits, and signs as they are.
    """
    word = words[place]
    small = word.lower()
    around = {shift: _at(words, place + shift).lower() for shift in (-2, -1, 1, 2)}
    return [
        "bias",
        f"word={small}",
        *(f"end={small[-size:]}" for size in (1, 2, 3)),
        *(f"begin={small[:size]}" for size in (1, 3)),
        f"shape={shape_of(word)}",
        f"first={place == 0}",
        *(f"{shift}={other}" for shift, other in around.items()),
        f"-1,0={around[-1]} {small}",
        f"0,1={small} {around[1]}",
        *(f"{shift}end={around[shift][-3:]}" for shift in (-1, 1)),
    ]


def shape_of(word: str) -> str:
    """Runs of capitals as A, of other letters as a, of digits as 9; all else as it is."""
    shape = ""
    for character in word:
        mark = "A" if character.isupper() else "a" if character.isalpha() else "9" if character.isdigit() else character
        if not shape.endswith(mark):
            shape += mark
    return shape


def _features(rows: Sequence[Example]) -> Iterator[list[str]]:
    return (features_of(words, place) for words in map(_words, rows) for place in range(len(words)))


def _tags(rows: Sequence[Example]) -> list[int]:
    return list(chain.from_iterable(row.target for row in rows if isinstance(row.target, list)))


def _words(row: Example) -> Sequence[str]:
    assert row.spelled is not None
    return row.spelled.cased


def _at(words: Sequence[str], place: int) -> str:
    return words[place] if 0 <= place < len(words) else EDGE
