"""Text to tokens, one for each time step, and where in the text each of them stood.

What the model read must be shown on the user's own text, so offsets count code points of the text as it was given.
"""

import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple, get_args

from seqloom.errors import ConfigError, DataError, import_extra
from seqloom.text.normalise import AlignedText, NormalForm, normalise, normalise_aligned
from seqloom.text.spacing import WITHOUT_BLANKS, join_words

TokenKind = Literal["word", "character", "byte", "subword", "whitespace"]


class Token(NamedTuple):
    """What one time step reads, and the place it was read from: `original[start:end]`, in code points."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Tokeniser:
    """Cuts a text into tokens after normalising it. Equal texts, however composed, give equal tokens.

    word: a run of letters, digits and their marks, with apostrophes and zero-width joiners inside ("don't", "l'été")
    and "." or "," between digits ("7.5"); an English ending on its own ("'s"); one character where a script is written
    without blanks (Han, kana, Thai, Lao, Khmer, Burmese); a tag without attributes ("<br />", "<unk>"); an emoji with
    all it is joined to; up to three equal signs of .!?-*'` ("...", "!!!"); any other character, control and format
    characters too. The typographic apostrophe is read as "'". Between the tokens stands white space and nothing else.

    character: one code point. byte: one UTF-8 byte as two hex digits. subword: a piece of a model that `train_subwords`
    made, "▁" standing for a blank; the pieces tile the text, the first beginning with a blank that is not there.
    whitespace: what stands between white space, for texts that are cut into words already.

    Tokens are in order. They are disjoint, but those cut from one original character (its bytes, or "1⁄2" from "½"
    under NFKC) each cover it. Raises ConfigError for a setting that does not exist.
    """

    kind: TokenKind = "word"
    lowercase: bool = True
    normal_form: NormalForm = "NFC"
    subword_model: bytes | None = None

    def __post_init__(self) -> None:
        _require("kind of tokens", self.kind, get_args(TokenKind))
        _require("normal form", self.normal_form, get_args(NormalForm))
        if not isinstance(self.lowercase, bool):
            raise ConfigError(f"lowercase is {self.lowercase!r}. Allowed: true, false.")
        if (self.kind == "subword") != bool(self.subword_model):
            given = "a" if self.subword_model else "no"
            raise ConfigError(
                f'a tokeniser of kind "{self.kind}" was given {given} subword model. '
                'The kind "subword" needs one, made by train_subwords; the other kinds take none.'
            )

    def texts(self, text: str) -> list[str]:
        """The tokens' texts: `[token.text for token in self.tokens(text)]`, but faster. Raises DataError."""
        normalised = normalise(text, form=self.normal_form, lowercase=self.lowercase)
        if self.kind == "word":
            return _find_words(normalised.replace("’", "'"))
        if self.kind == "whitespace":
            return normalised.split()
        if self.kind == "character":
            return list(normalised)
        if self.kind == "byte":
            return normalised.encode("utf-8").hex(" ").split()
        return self._pieces(normalised)

    def tokens(self, text: str) -> list[Token]:
        """The tokens with their places in `text`. Raises DataError for a lone surrogate."""
        aligned = normalise_aligned(text, form=self.normal_form, lowercase=self.lowercase)
        if self.kind in ("word", "whitespace"):
            words = self.kind == "word"
            matches = (
                _WORD.finditer(aligned.text.replace("’", "'")) if words else _BETWEEN_BLANKS.finditer(aligned.text)
            )
            return [_token(match[0], *match.span(), aligned) for match in matches]
        if self.kind == "character":
            return [_token(character, index, index + 1, aligned) for index, character in enumerate(aligned.text)]
        if self.kind == "byte":
            return [
                _token(byte, index, index + 1, aligned)
                for index, character in enumerate(aligned.text)
                for byte in character.encode("utf-8").hex(" ").split()
            ]
        pieces = self._pieces(aligned.text)
        ends = list(accumulate(map(len, pieces), initial=-1))  # the pieces tile the text and the blank put before it
        return [
            _token(piece, max(0, start), end, aligned)
            for piece, (start, end) in zip(pieces, pairwise(ends), strict=True)
        ]

    def join(self, tokens: Sequence[str]) -> str:
        """The text that stands for these tokens, as people write it: what `texts` left out of words is a guess.

        Bytes that are no UTF-8 become "\ufffd".
        """
        if self.kind == "word":
            return join_words(tokens)
        if self.kind == "whitespace":
            return " ".join(tokens)
        if self.kind == "byte":
            return bytes.fromhex("".join(tokens)).decode("utf-8", "replace")
        text = "".join(tokens)
        return text if self.kind == "character" else text.replace("▁", " ").strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for saving. The subword model is bytes and is saved as a file of its own."""
        return {"kind": self.kind, "lowercase": self.lowercase, "normal_form": self.normal_form}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, subword_model: bytes | None = None) -> "Tokeniser":
        """The tokeniser that `to_dict` described. Raises ConfigError for a missing or unknown key or value."""
        if set(values) != {"kind", "lowercase", "normal_form"}:
            found = ", ".join(map(str, values)) or "none"
            raise ConfigError(
                f"a saved tokeniser has the keys kind, lowercase, normal_form and no other; found: {found}."
            )
        return cls(values["kind"], values["lowercase"], values["normal_form"], subword_model)

    def _pieces(self, normalised: str) -> list[str]:
        """The subwords of a text, which is read as if a blank stood before it: a word looks the same wherever it is."""
        pieces: list[str] = self._subwords.encode(" " + normalised, out_type=str) if normalised else []
        return pieces

    @cached_property
    def _subwords(self) -> Any:
        sentencepiece = import_extra("sentencepiece", extra="text", purpose="reading subwords")
        try:
            return sentencepiece.SentencePieceProcessor(model_proto=self.subword_model)
        except RuntimeError:
            raise DataError(
                f"the subword model ({len(self.subword_model or b'')} bytes) is damaged, or is none. "
                "It must be the bytes that train_subwords returned."
            ) from None


def train_subwords(
    texts: Iterable[str], size: int, *, normal_form: NormalForm = "NFC", lowercase: bool = True
) -> bytes:
    """A subword model (unigram, Kudo 2018) of at most `size` pieces, for `Tokeniser("subword", subword_model=...)`.

    Give it the normal form and case of the tokeniser. The same texts give the same model. Raises DataError where `size`
    is too small for the characters of the texts or there is nothing to learn, MissingExtraError without sentencepiece.
    """
    sentencepiece = import_extra("sentencepiece", extra="text", purpose="training subwords")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(" " + normalise(text, form=normal_form, lowercase=lowercase) for text in texts),
            model_writer=model,
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            max_sentence_length=1 << 30,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DataError(
            f"no subword model of {size} pieces can be learned from these texts. There must be at least one text, and "
            "more pieces than different characters in the texts. Give more texts or a larger size."
        ) from error
    return model.getvalue()


def _token(text: str, start: int, end: int, aligned: AlignedText) -> Token:
    """A token from its place in the normalised text."""
    return Token(text, aligned.starts[start], aligned.ends[end - 1] if end else 0)


def _require(what: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"the {what} is {value!r}. Allowed: {', '.join(allowed)}.")


def _character_ranges(belongs: Callable[[str], bool]) -> str:
    """The inside of a regular expression's [...] for all characters that belong."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)):
        if belongs(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _word_pattern() -> re.Pattern[str]:
    """The rules of the kind "word", the first that fits wins. Look-aheads spare most characters the long lists."""
    marks = _character_ranges(lambda character: unicodedata.category(character).startswith("M"))
    mark = f"(?![\\0-\u02ff])[{marks}]"
    letter = f"[^\\W_{WITHOUT_BLANKS}]"
    joiner = f"(?![\\0-\u02ff])[\u200c\u200d](?={letter})"
    word = f"{letter}+(?:(?:'(?={letter})|(?<=\\d)[.,](?=\\d)|{mark}|{joiner}){letter}*)*"
    ending = f"(?i:'(?:s|re|ve|ll|d|m|t))(?!{letter}|{mark})"
    tag = r"</?[A-Za-z][A-Za-z0-9]*\s*/?>"
    runs = "|".join(f"{re.escape(sign)}{{2,3}}" for sign in ".!?-*'`")
    adorned = f"(?:{mark}|[\U0001f3fb-\U0001f3ff])*"
    sign = "[!-/:-@\\[-`{-~]"
    ascii_sign = f"(?={sign})(?:{ending}|{tag}|{runs}|{sign}{adorned})"
    flag = "[\U0001f1e6-\U0001f1ff]{2}"
    other = f"\\S{adorned}(?:\u200d[^\\w\\s]{adorned})*"
    return re.compile(f"{word}|{ascii_sign}|(?!\\s)(?:{flag}|{other})")


_BETWEEN_BLANKS = re.compile(r"\S+")
_WORD = _word_pattern()
_find_words: Callable[[str], list[str]] = _WORD.findall
