"""What can take one step, the text that comes of it, and what each way of writing does at every step."""

import math
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from seqloom.errors import SeqloomError
from seqloom.shapes import Float, Int

START = END = 0  # one id: what stands between two texts
MOST_AHEAD, WIDEST_AHEAD = 256, 32  # steps taken at once, and the texts of a beam that are followed so

S = TypeVar("S")


@runtime_checkable
class Writer(Protocol[S]):
    """What can take one step. `S` is its state, of R rows, which nobody else looks into.

    Tokens and rows come as int64 on the CPU, R > 0 of them; log-probabilities and weights may lie on any device, and
    are not written to afterwards.
    """

    def step(self, tokens: Int[Tensor, " R"], state: S) -> tuple[Float[Tensor, "R V"], Float[Tensor, "R S"] | None, S]:
        """Read one token a row: the log-probabilities of the next one, this step's attention weights, the next state.

        Weights are None where there is no attention; S is the same at each step.
        """

    def select(self, state: S, rows: Int[Tensor, " R"]) -> S:
        """The state of these rows, in this order; a row may stand more than once."""


@runtime_checkable
class AheadWriter(Writer[S], Protocol[S]):
    """A writer that can take many steps at once where each row's likeliest token is written."""

    def ahead(
        self, tokens: Int[Tensor, " R"], state: S, most: int
    ) -> tuple[Int[Tensor, "N R"], Float[Tensor, "N R"], Float[Tensor, "N R S"] | None, S] | None:
        """The tokens of N steps, their log-probabilities, the attention weights, the state after; None where it cannot.

        Each step is as `step`, each token the likeliest, of equal ones the lowest. N is at most `most`; they end after
        the step in which a row writes END, or has no number.
        """

    def follow(self, state: S, width: int, most: int) -> "Followed[S] | None":
        """Up to `most` steps of a beam of `width` from the start of one text on, until a text ends.

        As `beam` takes them one by one, without penalty of coverage or repetition. None where it cannot.
        """


@dataclass(frozen=True)
class Followed(Generic[S]):
    """N steps of a beam: of each text that goes on its row in the step before and its token, in the order of the beam.

    `weights` are those of the rows of each step, or there are none. Of the texts after the last step the scores, which
    one is greedy's, and the state.
    """

    before: list[list[int]]
    tokens: list[list[int]]
    weights: list[Tensor] | None
    scores: list[float]
    greedy: int
    state: S


class Hypothesis(NamedTuple):
    """A text: its tokens without END, the sum of their log-probabilities and END's, what each token attended to.

    `attention` is (T, S) of the T tokens and the sentence's own S source steps; None where there is no attention.
    """

    tokens: list[int]
    score: float
    attention: Tensor | None = None


class Node(NamedTuple):
    """The last token of a text, what stands before it, and where its attention is recorded."""

    before: "Node | None"
    token: int
    place: int


ROOT = Node(None, START, -1)


class Record:
    """The attention weights of all steps and rows, one below the other."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.size = 0

    def add(self, weights: Tensor | None) -> int:
        """The place of the first of these rows."""
        first = self.size
        if weights is not None:
            self.parts.append(weights)
            self.size += len(weights)
        return first

    def at(self, places: list[int], steps: int | None) -> Tensor | None:
        """The weights (T, S) at T places, up to the sentence's source steps."""
        if not self.parts:
            return None
        if len(self.parts) > 1:
            self.parts = [torch.cat(self.parts)]
        return self.parts[0][places, :steps]


def spelled(node: Node, score: float, record: Record, steps: int | None) -> Hypothesis:
    """The text that ends at `node`, which is END's."""
    tokens: list[int] = []
    places: list[int] = []
    while node.before is not None and node.before.before is not None:
        node = node.before
        tokens.append(node.token)
        places.append(node.place)
    return Hypothesis(tokens[::-1], score, record.at(places[::-1], steps))


def likeliest(values: Float[Tensor, "R V"], count: int) -> tuple[Float[Tensor, "R K"], Int[Tensor, "R K"]]:
    """The `count` highest values of each row, highest first, and their ids; of equal ones the lower id first."""
    top, ids = values.topk(min(count + 1, values.shape[-1]))  # one more shows whether the last is tied with the next
    tied = top[:, 1:] == top[:, :-1]
    if tied.any():  # topk takes any of equal ones
        rows = tied.any(-1).nonzero()[:, 0]
        ordered, order = values[rows].sort(dim=-1, descending=True, stable=True)
        top[rows], ids[rows] = ordered[:, : top.shape[1]], order[:, : top.shape[1]]
    return top[:, :count], ids[:, :count]


def unrepeated(log_probabilities: Float[Tensor, "R V"], written: Int[Tensor, "R T"], run: int) -> Float[Tensor, "R V"]:
    """-inf for each token that would write a run of `run` tokens for the second time."""
    if not run or written.shape[1] < run:
        return log_probabilities
    runs = written.unfold(1, run, 1)
    begun = written[:, written.shape[1] - run + 1 :]
    rows, places = (runs[..., :-1] == begun[:, None]).all(-1).nonzero(as_tuple=True)
    barred = log_probabilities.clone()
    barred[rows, runs[rows, places, -1]] = -math.inf
    return barred


def power(length: int, penalty: float) -> float:
    """length^penalty, kept finite."""
    return math.exp(min(penalty * math.log(length), 700.0))


def check_given(best: list[float], given: Tensor | None, length: int) -> None:
    """Raise SeqloomError unless the best log-probability of each row is one, of all `given` where some were barred."""
    for row, value in enumerate(best):
        if -math.inf < value <= 1e-3:  # rounding may lift a sure token above 0
            continue
        highest = value if given is None else float(given[row].max())
        if value == -math.inf and -math.inf < highest <= 1e-3:  # all others would repeat
            continue
        raise SeqloomError(
            f"The model gives {highest} as the highest log-probability of token {length} of a text, but it must be a "
            "number, and at most 0. Its weights or its input may not be finite: try a model from an earlier "
            "checkpoint, or train with a lower learning rate."
        )
