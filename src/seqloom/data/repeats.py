"""Which texts are one text to a model: equal once they are normalised and cut into tokens, however they were typed.

A text in training under another case or spelling would let a model score from memory, and no figure would tell.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from hashlib import blake2b

import numpy as np

from seqloom.data.examples import Example, texts_of
from seqloom.data.kept import Numbers, each, number_type, one_after_other
from seqloom.text import Tokeniser, normalise

Keys = Numbers


def as_read(texts: Sequence[str], tokeniser: Tokeniser) -> Keys:
    """For each text the number of the first of `texts` that a model reads as the same.

    Surrounding blanks do not count. Raises DataError for a lone surrogate.
    """
    form, lowercase = tokeniser.normal_form, tokeniser.lowercase

    def normalised(text: str) -> str:
        return normalise(text.strip(), form=form, lowercase=lowercase)

    if tokeniser.kind != "word":
        return first_like(each(texts, normalised))
    # Words need not be found where no other text has the same characters.
    return first_like(
        each(texts, lambda text: "".join(normalised(text).replace("’", "'").split())),
        asked_closer=lambda row: " ".join(tokeniser.texts(texts[row])),
    )


def first_like(keys: Sequence[str], *, asked_closer: Callable[[int], str] | None = None) -> Keys:
    """For each key the number of the first that is equal; those that are must also be `asked_closer`, by their number.

    Only hashes are held: short ones, then of those that come up again long ones (128 bits), whose equality is taken for
    that of the keys.
    """
    short = np.fromiter(map(hash, keys), np.int64, len(keys))
    ordered = np.sort(short)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    first = np.arange(len(keys), dtype=number_type(len(keys)))
    if not len(twice):
        return first
    rows = np.flatnonzero(twice[np.searchsorted(twice, short).clip(max=len(twice) - 1)] == short)
    ask = asked_closer or keys.__getitem__
    digests = np.fromiter((_digest(ask(row)) for row in rows.tolist()), "S16", len(rows))
    long = digests.view(np.uint64).reshape(-1, 2)
    order = np.lexsort((long[:, 1], long[:, 0]))  # stable: of equals the first row comes first
    begins = np.append(True, (long[order[1:]] != long[order[:-1]]).any(axis=1))
    first[rows[order]] = rows[order[begins]][np.cumsum(begins) - 1]
    return first


def keys_of(parts: Sequence[Sequence[Example]], tokeniser: Tokeniser) -> Keys:
    """A key for each example of the parts, as `as_read`; the same for images and features that are the same."""
    examples = one_after_other(parts)
    if len(examples) and examples[0].seen is not None:
        return first_like([example.key for example in examples])
    return as_read(one_after_other([texts_of(part) for part in parts]), tokeniser)


def overlaps(parts: Mapping[str, Sequence[Example]], tokeniser: Tokeniser) -> list[str]:
    """A sentence for each of valid and test that has texts which a model reads as one in train, with the count."""
    names, train = ["train", *(part for part in parts if part != "train")], parts["train"]
    keys = keys_of([parts[part] for part in names], tokeniser)
    what = "images or features" if len(train) and train[0].seen is not None else "texts"
    ends = np.cumsum([len(parts[part]) for part in names])
    own = dict(zip(names, np.split(keys, ends[:-1]), strict=True))
    return [
        sentence
        for part in ("valid", "test")
        for sentence in _leak(part, int((own[part] < len(train)).sum()), len(own[part]), what)
    ]


def leaks_of(keys: Mapping[str, Sequence[Hashable]], what: str) -> list[str]:
    """A sentence for each of valid and test that has keys which are in train too, with the count of them."""
    train = set(keys["train"])
    return [
        sentence
        for part in ("valid", "test")
        for sentence in _leak(part, sum(key in train for key in keys[part]), len(keys[part]), what)
    ]


def _leak(part: str, known: int, of: int, what: str) -> list[str]:
    return [f"{known} of {of} {part} {what} are also in train: their scores flatter"] * (known > 0)


def _digest(key: str) -> bytes:
    return blake2b(key.encode("utf-8"), digest_size=16).digest()
