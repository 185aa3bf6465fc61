"""The shapes side by side: walks are what they say."""

import itertools

from seqloom.data.generators_walks import TURNS, WAYS, arounds, points, walks


def test_a_walk_is_told_by_its_turns() -> None:
    for walk in walks(200, seed=3):
        ways = [WAYS.index(word) for word in walk.words]
        told = [TURNS[(after - before) % 4] for before, after in itertools.pairwise(ways)]
        assert walk.turns == ["start", *told]
        assert walk.turns.count(walk.side) > walk.turns.count("left" if walk.side == "right" else "right")
        assert [WAYS[(way + 2) % 4] for way in ways][::-1] == walk.back


def test_a_walk_around_turns_to_one_side_from_where_it_points() -> None:
    for x, y, side, told in arounds(100, seed=4):
        ways = [WAYS.index(word) for word in told.split()]
        assert all((after - before) % 4 == side % 4 for before, after in itertools.pairwise(ways))
        assert WAYS[ways[0]] == _pointed(x, y)
    assert all(_pointed(x, y) == way for x, y, way in points(100, seed=4))


def _pointed(x: float, y: float) -> str:
    if abs(y) > abs(x):
        return "north" if y > 0 else "south"
    return "east" if x > 0 else "west"


def test_the_same_seed_makes_the_same_walks() -> None:
    assert walks(20, seed=1) == walks(20, seed=1) != walks(20, seed=2)
