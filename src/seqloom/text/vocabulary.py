"""Tokens to numbers and back: which tokens a model knows, in an order that depends on the texts alone.

Row order, ties and a token that happens to read "<unknown>" change nothing: reserved ids are numbers, never spellings.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat

from seqloom.errors import ConfigError, DataError

PADDING = 0
UNKNOWN = 1
_RESERVED = ("<padding>", "<unknown>")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens a model knows: id 0 pads, id 1 is any token it does not know, `known[i]` has the id i + 2.

    Raises DataError where a token is not text or occurs twice.
    """

    known: tuple[str, ...]

    def __post_init__(self) -> None:
        for position, token in enumerate(self.known):
            if not isinstance(token, str):
                raise DataError(f"token {position} of the vocabulary is {token!r}. Every token must be text.")
        if len(self._ids) < len(self.known):
            token, count = Counter(self.known).most_common(1)[0]
            raise DataError(f'the vocabulary holds "{token}" {count} times. Every token must occur once.')

    @classmethod
    def build(cls, token_lists: Iterable[Iterable[str]], *, min_count: int = 1, max_size: int = 50_000) -> "Vocabulary":
        """The tokens that occur at least `min_count` times, the `max_size` most frequent, equals in order of spelling.

        `max_size` does not count the two reserved ids. Raises ConfigError where either number is below 1.
        """
        return cls.of_counts(Counter(chain.from_iterable(token_lists)), min_count=min_count, max_size=max_size)

    @classmethod
    def of_counts(cls, counts: Mapping[str, int], *, min_count: int = 1, max_size: int = 50_000) -> "Vocabulary":
        """As `build`, of tokens that are counted already."""
        for name, number in (("min_count", min_count), ("max_size", max_size)):
            if number < 1:
                raise ConfigError(f"{name} is {number}. It must be at least 1.")
        frequent = [(-count, token) for token, count in counts.items() if count >= min_count]
        return cls(tuple(token for _, token in sorted(frequent)[:max_size]))

    @property
    def tokens(self) -> tuple[str, ...]:
        """A spelling for every id, "<padding>" and "<unknown>" first."""
        return _RESERVED + self.known

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The id of each token, 1 where it is not known."""
        return list(map(self._ids.get, tokens, repeat(UNKNOWN)))

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The spelling of each id. Raises DataError for an id that does not exist."""
        spellings = self.tokens
        decoded = []
        for number in ids:
            if not 0 <= number < len(spellings):
                raise DataError(f"there is no token with the id {number}. Ids lie in 0..{len(spellings) - 1}.")
            decoded.append(spellings[number])
        return decoded

    def __len__(self) -> int:
        """How many ids there are, the two reserved ones included: the rows of an embedding."""
        return len(self.known) + len(_RESERVED)

    def __contains__(self, token: object) -> bool:
        """Whether the token has an id of its own."""
        return token in self._ids

    def to_json(self) -> str:
        """The vocabulary as JSON, one token a line."""
        return json.dumps({"known": self.known}, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """The vocabulary that `to_json` wrote. Raises DataError for anything else."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the vocabulary is not JSON: {error}. It must be what Vocabulary.to_json wrote.") from None
        if not isinstance(values, dict) or set(values) != {"known"} or not isinstance(values["known"], list):
            raise DataError('the vocabulary must be one JSON object {"known": [token, ...]} and nothing else.')
        return cls(tuple(values["known"]))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.known, start=len(_RESERVED))}
