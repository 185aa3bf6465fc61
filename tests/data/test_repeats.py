"""Two texts are one text exactly where a model would read the same tokens."""

from itertools import combinations
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqloom.data.repeats import as_read
from seqloom.text import NormalForm, Tokeniser, TokenKind

PIECES = [
    "a",
    "A",
    "ß",
    "é",
    "e\u0301",
    "İ",
    "’",
    "'",
    "s",
    "1",
    ".",
    ",",
    "<br />",
    "<br",
    "/>",
    " ",
    "\u00a0",
    "\x1c",
    "ﬁ",
]
TEXTS = st.lists(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=5).map("".join)), max_size=12)


@pytest.mark.parametrize("tokens", ["word", "character", "byte"])
@given(texts=TEXTS, lowercase=st.booleans(), form=st.sampled_from(get_args(NormalForm)))
@example(texts=["it is", "iti s", "it  is"], lowercase=True, form="NFC")  # the same characters, but other words
def test_keys_are_equal_where_the_tokens_are(
    tokens: TokenKind, texts: list[str], lowercase: bool, form: NormalForm
) -> None:
    tokeniser = Tokeniser(tokens, lowercase, form)
    keys = as_read(texts, tokeniser)
    for (text, key), (other, other_key) in combinations(zip(texts, keys, strict=True), 2):
        same = tokeniser.texts(text.strip()) == tokeniser.texts(other.strip())
        assert (key == other_key) == same, (text, other)
