"""Which texts are one text to a model: equal once they are normalised and cut into tokens, however they were typed.

A text in training under another case or spelling would let a model score from memory, and no figure would tell.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from seqloom.data.examples import Example
from seqloom.text import Tokeniser, normalise


def as_read(texts: Sequence[str], tokeniser: Tokeniser) -> list[str]:
    """A key for each text: two of `texts` have the same key exactly where a model reads the same.

    Surrounding blanks do not count. Keys of two calls cannot be compared. Raises DataError for a lone surrogate.
    """
    form, lowercase = tokeniser.normal_form, tokeniser.lowercase
    normalised = [normalise(text.strip(), form=form, lowercase=lowercase) for text in texts]
    if tokeniser.kind != "word":
        return normalised
    without_blanks = ["".join(text.replace("’", "'").split()) for text in normalised]
    count = Counter(without_blanks)  # words need not be found where no other text has the same characters
    return [
        key if count[key] == 1 else " ".join(tokeniser.texts(text))
        for key, text in zip(without_blanks, texts, strict=True)
    ]


def keys_of(examples: Sequence[Example], tokeniser: Tokeniser) -> list[str]:
    """A key for each example, as `as_read`; the same for images and features that are the same."""
    if any(example.seen is not None for example in examples):
        return [example.key for example in examples]
    return as_read([example.text for example in examples], tokeniser)


def overlaps(parts: Mapping[str, list[Example]], tokeniser: Tokeniser) -> list[str]:
    """A sentence for each of valid and test that has texts which a model reads as one in train, with the count."""
    keys = iter(keys_of([example for examples in parts.values() for example in examples], tokeniser))
    read = {part: [next(keys) for _ in examples] for part, examples in parts.items()}
    seen = any(example.seen is not None for example in parts["train"])
    return leaks_of(read, "images or features" if seen else "texts")


def leaks_of(keys: Mapping[str, Sequence[Hashable]], what: str) -> list[str]:
    """A sentence for each of valid and test that has keys which are in train too, with the count of them."""
    train, notes = set(keys["train"]), []
    for part in ("valid", "test"):
        known = sum(key in train for key in keys[part])
        notes += [f"{known} of {len(keys[part])} {part} {what} are also in train: their scores flatter"] * (known > 0)
    return notes
