"""What a model that answers once made of a series of numbers or a row of features: which of them count, and when.

A row has one step and nothing recurrent: of it only what each feature adds is seen.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from seqloom.bundle import NumbersBundle
from seqloom.data import Rejected, pad_numbers
from seqloom.data.numbers import Channel, NumericExample, Sample
from seqloom.data.numbers_prepare import encode_samples, read_numbers
from seqloom.errors import ConfigError, DataError, nearest
from seqloom.inference import said_by, sample_of_array
from seqloom.lens.arrivals import Arrivals, arrivals
from seqloom.lens.memory import Layer, layer_view, read_through
from seqloom.lens.numbers_findings import findings_of_numbers
from seqloom.lens.numbers_saliency import NumbersSaliency, explain_numbers
from seqloom.lens.page import fragment
from seqloom.lens.show_numbers import brief_numbers
from seqloom.models import ManyToOne
from seqloom.models.many_to_one import framed


class NumbersReading(NamedTuple):
    """How a model read a series, or a row of features: `answer` as `predict` gives it, and the rest by step.

    It is the sample `place` of `of`. `values` has a list of variables for each step, None where one is missing, as
    they were given; `variables` are named, with mean and spread in training. `arrivals` is None for a row. Of
    `layers` each step is `frames` of the sample, which are read as one. `cut` is how many steps were left unread
    because the series was longer than the model reads.
    """

    kind: Literal["series", "row"]
    place: int
    of: int
    variables: list[Channel]
    values: list[list[float | None]]
    labels: list[str]
    answer: dict[str, Any]
    saliency: NumbersSaliency
    arrivals: Arrivals | None
    layers: list[Layer]
    frames: int
    findings: list[str]
    cut: int

    @property
    def title(self) -> str:
        """Which sample it is, of how many, and its size."""
        place = f" ({self.place:,} of {self.of:,})" if self.of > 1 else ""
        if self.kind == "row":
            return f"row {self.answer['input']}{place}: {_counted(len(self.variables), 'feature')}"
        sizes = f"{_counted(len(self.values), 'step')} of {_counted(len(self.variables), 'variable')}"
        return f"series {self.answer['input']}{place}: {sizes}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.answer,
            **{name: value for name, value in self._asdict().items() if name != "answer"},
            "variables": [variable._asdict() for variable in self.variables],
            "saliency": self.saliency._asdict(),
            "arrivals": None if self.arrivals is None else self.arrivals._asdict(),
            "layers": [layer._asdict() for layer in self.layers],
        }

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return fragment(brief_numbers(self))


def numbers_of_file(
    bundle: NumbersBundle,
    path: str | Path,
    *,
    series: str | None = None,
    row: int | None = None,
    points: int | None = None,
) -> NumbersReading:
    """How a model read one sample of a file: the one that `predict` calls `series`, its answer number `row`, or the
    first that can be read.

    Raises DataError for a file or a sample that cannot be read, ConfigError for both a name and a number.
    """
    if series is not None and row is not None:
        raise ConfigError("series and row both say which sample to show. Give one of them.")
    file = read_numbers(path, bundle.reader.layout, target=None)
    samples: list[Sample | Rejected] = [*file.samples, *file.rejected]
    samples.sort(key=lambda each: each.line)
    if series is not None:
        place = _place_of(series, samples, file=file.path.name)
    elif row is None:
        place = next(place for place, each in enumerate(samples) if isinstance(each, Sample))
    elif 1 <= row <= len(samples):
        place = row - 1
    else:
        raise DataError(f"row is {row}, but must lie in 1..{len(samples)}, the answers that predict gives to {path}.")
    chosen = samples[place]
    if isinstance(chosen, Rejected):
        raise DataError(f"{file.path.name}, line {chosen.line}: {chosen.reason}")
    return read_sample(bundle, chosen, place=place + 1, of=len(samples), points=points)


def numbers_of_array(bundle: NumbersBundle, given: Any, *, points: int | None = None) -> NumbersReading:
    """How a model read an array, with a step a row (time, channels), or a row of features. Raises DataError."""
    return read_sample(bundle, sample_of_array(bundle.reader, given), points=points)


def read_sample(
    bundle: NumbersBundle, sample: Sample, *, place: int = 1, of: int = 1, points: int | None = None
) -> NumbersReading:
    """Let the model read `sample`, and tell how it came to its answer.

    `points` are those of the integrated gradients; where not given 5 to 64, the fewer the longer the series.
    """
    model, targets, reader = bundle.model, bundle.targets, bundle.reader
    [row] = encode_samples([sample], reader, None, max_length=bundle.config.data.max_length)
    assert isinstance(row, NumericExample)  # only a label can be refused
    batch = pad_numbers([row.steps]).to(model.head.weight.device)
    arrived, layers = None, list[Layer]()
    with torch.inference_mode():
        if isinstance(model, ManyToOne):
            vectors, lengths = framed(batch, model.frames)
            readers, outputs = read_through(model.recurrent, vectors.to(model.head.weight.dtype), lengths)
            logits = model.conclude(outputs, lengths).cpu()
            arrived = arrivals(model, targets, row.steps, outputs)
            layers = [layer_view(each) for each in readers]
        else:
            logits = model(batch).cpu()
    [said] = said_by(bundle, logits)
    values = np.asarray(sample.values[: len(row.steps)], dtype=np.float64)
    seen = NumbersReading(
        kind="row" if reader.layout.dense else "series",
        place=place,
        of=of,
        variables=list(reader.channels),
        values=[[None if np.isnan(each) else float(each) for each in step] for step in values],
        labels=list(targets.labels),
        answer={"input": row.name, **said},
        saliency=explain_numbers(model, reader, targets, row.steps, logits, points=points),
        arrivals=arrived,
        layers=layers,
        frames=reader.frames,
        findings=[],
        cut=len(sample.values) - len(row.steps),
    )
    return seen._replace(findings=findings_of_numbers(seen, marked=reader.gaps))


def _place_of(name: str, samples: list[Sample | Rejected], *, file: str) -> int:
    """Where the sample of that name is, or why it was refused. Raises DataError where there is none."""
    for place, each in enumerate(samples):
        if isinstance(each, Sample) and each.name == name:
            return place
    for place, each in enumerate(samples):
        if isinstance(each, Rejected) and (each.reason.startswith(f"series {name}: ") or f"line {each.line}" == name):
            return place
    known = [each.name for each in samples if isinstance(each, Sample)]
    raise DataError(f'there is no series "{name}" in {file}: {nearest(name, known)}')


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + "s" * (count != 1)
