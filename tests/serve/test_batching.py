"""A lane: what waits is computed together, and nobody's misfortune is another's."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from seqloom.errors import DataError
from seqloom.serve.batching import Batch, Lane, Ran
from seqloom.serve.limits import Limits
from seqloom.serve.refusal import Refusal

Make = Callable[..., Lane]


@pytest.fixture
def lane_of() -> Iterator[Make]:
    lanes = []

    def make(**limits: Any) -> Lane:
        lanes.append(Lane("test", Limits(**limits), observe=BATCHES.append))
        lanes[-1].start()
        return lanes[-1]

    BATCHES.clear()
    yield make
    for lane in lanes:
        lane.stop()


BATCHES: list[Batch] = []


class Held:
    """Computes once it is let go, so that others come to wait."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[Any]] = []

    def __call__(self, rows: list[Any]) -> list[Any]:
        self.go.wait(10)
        self.batches.append(rows)
        if "poison" in rows:
            raise DataError("poison")
        if "bug" in rows:
            raise ZeroDivisionError
        return [f"<{row}>" for row in rows]


async def begun(lane: Lane, held: Held, *jobs: tuple[object, list[Any]]) -> "list[asyncio.Task[Ran]]":
    """Jobs of which the first is being computed while the others wait, in this order."""
    tasks = []
    for key, rows in jobs:
        tasks.append(asyncio.ensure_future(lane.run(key, held, rows)))
        await asyncio.sleep(0)
        while lane._since is None:
            await asyncio.sleep(0.001)
    return tasks


async def waiting(lane: Lane, held: Held, *jobs: list[Any], key: Callable[[list[Any]], object] = len) -> list[Any]:
    """The outcomes of jobs that all came while the first was being computed."""
    tasks = await begun(lane, held, *((key(job), job) for job in jobs))
    held.go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_waits_runs_together_and_each_gets_its_own(lane_of: Make) -> None:
    held = Held()
    found = asyncio.run(waiting(lane_of(), held, ["a"], ["b"], ["c", "d"], ["e"], key=lambda job: "same"))
    assert [ran.results for ran in found] == [["<a>"], ["<b>"], ["<c>", "<d>"], ["<e>"]]
    assert held.batches == [["a"], ["b", "c", "d", "e"]]
    assert [batch.rows for batch in BATCHES] == [1, 4]


def test_other_kinds_and_full_batches_wait_for_their_turn_in_order(lane_of: Make) -> None:
    held = Held()
    jobs = (["a"], ["b"], ["x", "y"], ["c"], ["d"], ["e"])
    asyncio.run(waiting(lane_of(batch=3), held, *jobs))
    assert held.batches == [["a"], ["b", "c", "d"], ["x", "y"], ["e"]]


@pytest.mark.parametrize("bad", ["poison", "bug"])
@pytest.mark.parametrize("place", range(4))
def test_only_the_one_at_fault_fails(lane_of: Make, bad: str, place: int) -> None:
    jobs = [["first"]] + [[bad] if at == place else [f"row {at}"] for at in range(4)]
    found = asyncio.run(waiting(lane_of(), Held(), *jobs))
    assert [type(each).__name__ for each in found].count("Ran") == 4
    assert type(found[place + 1]) is (DataError if bad == "poison" else ZeroDivisionError)


def test_too_many_are_refused_at_once_and_told_when_to_come_again(lane_of: Make) -> None:
    found = asyncio.run(waiting(lane_of(waiting=2), Held(), ["a"], ["b"], ["c"], ["d"], ["e", "f"]))
    refused = [each for each in found if isinstance(each, Refusal)]
    assert [(each.status_code, each.code, each.retry_after) for each in refused] == [(429, "queue_full", 1)] * 2
    assert [each.results for each in found if isinstance(each, Ran)] == [["<a>"], ["<b>"], ["<c>"]]


def test_who_waited_too_long_is_told_so_and_not_computed(lane_of: Make) -> None:
    held = Held()

    async def late() -> list[Any]:
        lane = lane_of(waiting_seconds=0.01)
        first = asyncio.ensure_future(lane.run(0, held, ["a"]))
        await asyncio.sleep(0.005)
        second = asyncio.ensure_future(lane.run(0, held, ["b"]))
        await asyncio.sleep(0.05)
        held.go.set()
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = asyncio.run(late())
    if isinstance(first, Ran):  # a busy machine may take too long for the first too
        assert held.batches == [["a"]]
    assert (second.status_code, second.code) == (503, "waited_too_long")


def test_who_leaves_is_forgotten(lane_of: Make) -> None:
    held = Held()

    async def leaving() -> Lane:
        lane = lane_of()
        tasks = await begun(lane, held, *((0, [name]) for name in "abcd"))
        for task in tasks[0], tasks[2]:  # one that is being computed, one that waits
            task.cancel()
        await asyncio.sleep(0)
        held.go.set()
        assert [ran.results for ran in await asyncio.gather(tasks[1], tasks[3])] == [["<b>"], ["<d>"]]
        return lane

    lane = asyncio.run(leaving())
    assert held.batches == [["a"], ["b", "d"]]
    assert lane.depth == 0


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lane_outlives_the_loop_of_who_waited(lane_of: Make) -> None:
    lane, held = lane_of(), Held()

    async def leave() -> None:
        await begun(lane, held, (0, ["a"]))

    asyncio.run(leave())
    held.go.set()
    assert asyncio.run(asyncio.wait_for(lane.run(0, held, ["b"]), 20)).results == ["<b>"]


def test_a_lane_that_is_stuck_or_ended_says_so(lane_of: Make) -> None:
    held = Held()

    async def stuck() -> None:
        lane = lane_of(request_seconds=0.01)
        assert lane.healthy()
        task = asyncio.ensure_future(lane.run(0, held, ["a"]))
        await asyncio.sleep(0.05)
        assert not lane.healthy()
        held.go.set()
        await task
        assert lane.healthy()
        lane.stop()
        deadline = time.monotonic() + 5
        while lane.healthy() and time.monotonic() < deadline:
            await asyncio.sleep(0.001)
        assert not lane.healthy()

    asyncio.run(stuck())
