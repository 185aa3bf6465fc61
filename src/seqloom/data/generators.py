"""Film reviews from a small grammar of our own, so that a demonstration needs neither a file nor a download.

Word order decides: "not" turns what follows it, and the part after "but" is what the writer means. A model that only
counts words cannot tell "it was not good, it was bad" from "it was not bad, it was good".
"""

from collections.abc import Callable
from random import Random

LABELS = ("negative", "positive")

# one word or phrase between two bars
BAD = "bad|boring|awful|terrible|dull|weak|silly|clumsy|slow|predictable|annoying|forgettable"
GOOD = "good|exciting|great|wonderful|brilliant|strong|clever|charming|funny|surprising|touching|memorable"
FELT_BAD, FELT_GOOD = "hated|disliked|regretted", "loved|enjoyed|admired"
PARTS = "plot|acting|ending|story|cast|music|dialogue|opening|script|direction"
WHOLES = "movie|film|picture|comedy|drama|thriller"
DEGREES = "very|really|quite|truly|absolutely|so"
LASTING = "from the first scene to the last|for a single minute|at any point|to the very end"
OPENERS = "to be honest|in short|all in all|in my opinion|last night i saw it and|my friends agree that"


def reviews(count: int, *, seed: int) -> list[tuple[str, str]]:
    """`count` pairs of review and label ("positive", "negative"), as many of each (one more positive where odd)."""
    random = Random(seed)
    meant = [number % 2 == 0 for number in range(count)]
    random.shuffle(meant)
    return [(_review(random, good), LABELS[good]) for good in meant]


def _review(random: Random, good: bool) -> str:
    sentence = random.choice(SENTENCES)(random, good)
    if random.random() < 0.3:
        sentence = f"{_pick(random, OPENERS)} {sentence}"
    return sentence


def _plain(random: Random, good: bool) -> str:
    degree = random.choice(["", f"{_pick(random, DEGREES)} "])
    return f"the {_thing(random)} was {degree}{_adjective(random, good)}"


def _negated(random: Random, good: bool) -> str:
    opposite = _adjective(random, not good)
    tail = random.choice(["", " at all"])
    return random.choice(
        [
            f"the {_thing(random)} was not {opposite}{tail}",
            f"the {_thing(random)} was far from {opposite}",
            f"the {_thing(random)} was never {opposite} {_pick(random, LASTING)}",
            f"nothing about the {_thing(random)} was {opposite}",
            f"hardly {_article(opposite)} {_pick(random, WHOLES)}",
        ]
    )


def _felt(random: Random, good: bool) -> str:
    thing = _thing(random)
    return random.choice(
        [
            f"i {random.choice(['really', 'truly'])} {_feeling(random, good)} the {thing}",
            f"i can't say i {_feeling(random, not good)} the {thing}",
            f"i never {_feeling(random, not good)} the {thing}",
        ]
    )


def _corrected(random: Random, good: bool) -> str:
    """The same words mean one thing or the other by their order alone."""
    word, opposite = _adjective(random, good), _adjective(random, not good)
    return f"the {_thing(random)} was not {opposite}, it was {word}"


def _contrasted(random: Random, good: bool) -> str:
    first, second = random.sample(PARTS.split("|"), 2)
    word, opposite = _adjective(random, good), _adjective(random, not good)
    return random.choice(
        [
            f"{_article(opposite)} {first}, but {_article(word)} {second}",
            f"the {first} was {opposite}, but the {second} was {word}",
            f"although the {first} was {opposite}, the {second} was {word}",
            f"the {first} was {opposite}, but {_negated(random, good)}",
        ]
    )


def _agreeing(random: Random, good: bool) -> str:
    return f"{_plain(random, good)} and {random.choice([_plain, _negated, _felt])(random, good)}"


def _thing(random: Random) -> str:
    return _pick(random, f"{PARTS}|{WHOLES}")


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _adjective(random: Random, good: bool) -> str:
    return _pick(random, GOOD if good else BAD)


def _feeling(random: Random, good: bool) -> str:
    return _pick(random, FELT_GOOD if good else FELT_BAD)


def _pick(random: Random, phrases: str) -> str:
    return random.choice(phrases.split("|"))


SENTENCES: tuple[Callable[[Random, bool], str], ...] = (_plain, _negated, _felt, _corrected, _contrasted, _agreeing)
