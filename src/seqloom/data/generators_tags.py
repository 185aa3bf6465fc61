"""Tagged sentences from two small grammars of our own, so that a tagger can be tried without a file.

What a word is hangs on its neighbours ("the watch" and "we watch"), on its ending ("glimly", "glimful"), and on
capitals: many words occur once only, so that a list of words and their tags is not enough.
"""

from collections.abc import Sequence
from random import Random

Sentence = tuple[list[str], list[str]]

# one word between two bars
DETERMINERS = "the|a|this|every|my|our"
PRONOUNS = "we|they|i|you"
PREPOSITIONS = "in|on|under|near|with|without"
EITHER = "watch|paint|record|walk|dream|answer|guess|plan|cook|judge"  # a noun, or what is done
NOUNS = "garden|window|letter|river|house|table"
VERBS = "see|hear|find|know|like"
ONSETS, VOWELS, CODAS = "b|d|f|g|gl|k|m|n|p|s|st|t|tr|v", "a|e|i|o|u", "b|d|k|l|m|n|p|r|s|t"

FIRST_NAMES = "Anna|Omar|Lena|Ravi|Mira|Hugo|Aiko|Nils"
TITLES = "Professor|Doctor|Captain"
PLACES = "Lake|Port|Mount|New"
FIRMS = "Works|Brothers|Bank|Press"
SPOKEN = "met|called|left|wrote to|waited for|heard of"
RESTED = "slept in|walked to|flew over|lives in"


def tagged(count: int, *, seed: int) -> list[Sentence]:
    """`count` sentences, as words and the part of speech of each: DET, ADJ, NOUN, PROPN, PRON, VERB, ADV or ADP."""
    random = Random(seed)
    return [_parted(_clause(random)) for _ in range(count)]


def named(count: int, *, seed: int) -> list[Sentence]:
    """`count` sentences, each as its words and what they name: B-PER, I-PER, B-LOC, I-LOC, B-ORG, I-ORG, else O."""
    random = Random(seed)
    return [_parted(_event(random)) for _ in range(count)]


def to_conll(sentences: Sequence[Sentence]) -> str:
    """The text of a CoNLL file with two columns, the words and their tags."""
    return "\n".join(
        "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)) for words, tags in sentences
    )


Tagged = list[tuple[str, str]]


def _clause(random: Random) -> Tagged:
    subject = random.choice([_thing, _name, _speaker])(random)
    verb = [(_pick(random, random.choice([VERBS, EITHER])), "VERB")]
    manner = [(f"{_stem(random)}ly", "ADV")] if random.random() < 0.4 else []
    place = [(_pick(random, PREPOSITIONS), "ADP"), *_thing(random)] if random.random() < 0.5 else []
    return subject + manner + verb + random.choice([_thing, _name])(random) + place


def _thing(random: Random) -> Tagged:
    quality = [(f"{_stem(random)}{random.choice(['ful', 'less'])}", "ADJ")] if random.random() < 0.4 else []
    noun = random.choice([_pick(random, NOUNS), _pick(random, EITHER), f"{_stem(random)}ness"])
    return [(_pick(random, DETERMINERS), "DET"), *quality, (noun, "NOUN")]


def _name(random: Random) -> Tagged:
    return [(_stem(random).capitalize(), "PROPN")]


def _speaker(random: Random) -> Tagged:
    return [(_pick(random, PRONOUNS), "PRON")]


def _event(random: Random) -> Tagged:
    if random.random() < 0.5:
        what, other = SPOKEN, random.choice([_person, _firm])(random)
    else:
        what, other = RESTED, _place(random)
    said = [(word, "O") for word in _pick(random, what).split()]
    return [*_person(random), *said, *other, (random.choice([".", "again", "today"]), "O")]


def _person(random: Random) -> Tagged:
    first = _pick(random, random.choice([FIRST_NAMES, TITLES]))
    return _span([first, _stem(random).capitalize()] if random.random() < 0.7 else [_pick(random, FIRST_NAMES)], "PER")


def _place(random: Random) -> Tagged:
    name = _stem(random).capitalize()
    return _span(random.choice([[f"{name}ville"], [_pick(random, PLACES), name]]), "LOC")


def _firm(random: Random) -> Tagged:
    return _span([_stem(random).capitalize(), _pick(random, FIRMS)], "ORG")


def _span(words: list[str], kind: str) -> Tagged:
    return [(word, f"{'I' if place else 'B'}-{kind}") for place, word in enumerate(words)]


def _stem(random: Random) -> str:
    syllables = random.choice([1, 2])
    return "".join(_pick(random, ONSETS) + _pick(random, VOWELS) for _ in range(syllables)) + _pick(random, CODAS)


def _parted(pairs: Tagged) -> Sentence:
    return [word for word, _ in pairs], [tag for _, tag in pairs]


def _pick(random: Random, words: str) -> str:
    return random.choice(words.split("|"))
