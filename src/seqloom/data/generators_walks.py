"""Walks to learn from, made without a file: one small world in which every shape of a task has a question to answer."""

import math
from random import Random
from typing import NamedTuple

WAYS = ("north", "east", "south", "west")  # clockwise
TURNS = ("straight", "right", "back", "left")  # by as many quarters clockwise
AROUND = 4  # steps of a walk around a corner


class Point(NamedTuple):
    """One step as two numbers, and where it goes."""

    x: float
    y: float
    way: str


class Around(NamedTuple):
    """A first step as two numbers, the side to turn to at every corner (1: right, -1: left), and the walk in words."""

    x: float
    y: float
    side: int
    walk: str


class Walk(NamedTuple):
    """A walk in words, each word's turn, the side that most of them are to, and the way back."""

    words: list[str]
    turns: list[str]
    side: str
    back: list[str]


def points(count: int, *, seed: int) -> list[Point]:
    """`count` single steps: (0.07, 0.96, "north") points north, more or less."""
    random = Random(seed)
    found = []
    for _ in range(count):
        way = random.randrange(4)
        found.append(Point(*_pointing(random, way), WAYS[way]))
    return found


def arounds(count: int, *, seed: int) -> list[Around]:
    """`count` walks around: (0.07, 0.96, 1) is told as "north east south west"."""
    random = Random(seed)
    found = []
    for _ in range(count):
        way, side = random.randrange(4), random.choice((1, -1))
        told = " ".join(WAYS[(way + side * step) % 4] for step in range(AROUND))
        found.append(Around(*_pointing(random, way), side, told))
    return found


def walks(count: int, *, seed: int) -> list[Walk]:
    """`count` walks of 4 to 10 steps, most of whose turns are to one side.

    The same words in another order are another walk: what is asked of it hangs on what came before each.
    """
    random = Random(seed)
    return [_walk(random) for _ in range(count)]


def _walk(random: Random) -> Walk:
    side = random.choice(("left", "right"))
    way = random.randrange(4)
    ways, turns = [way], ["start"]
    for _ in range(random.randint(3, 9)):
        turn = TURNS.index(side) if random.random() < 0.7 else random.choice((0, 0, 1, 3))
        way = (way + turn) % 4
        ways.append(way)
        turns.append(TURNS[turn])
    if turns.count("left") == turns.count("right"):
        return _walk(random)
    most = "left" if turns.count("left") > turns.count("right") else "right"
    return Walk([WAYS[each] for each in ways], turns, most, [WAYS[(each + 2) % 4] for each in reversed(ways)])


def _pointing(random: Random, way: int) -> tuple[float, float]:
    """A step of about one, within a sixteenth of a turn of `way`."""
    angle = math.tau / 4 * way + random.uniform(-1, 1) * math.tau / 16
    length = random.uniform(0.8, 1.2)
    return round(length * math.sin(angle), 3), round(length * math.cos(angle), 3)
