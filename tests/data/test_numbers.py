"""Tables of numbers: told from tables of texts, read as steps or as rows, normalised by training alone."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqloom.config import config_from_dict
from seqloom.data.numbers import NumbersLayout, NumbersReader, Sample, pad_numbers
from seqloom.data.numbers_layout import infer_numbers
from seqloom.data.numbers_prepare import PreparedNumbers
from seqloom.data.prepare import prepare
from seqloom.data.table import read_table
from seqloom.errors import ConfigError, DataError, SeqloomError

LAYOUT = NumbersLayout("ts", ("x", "y"))


def write(path: Path, header: str, rows: Sequence[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def found(path: Path, **data: Any) -> Any:
    config = config_from_dict({"task": data.pop("task", None), "data": data}, name="test")
    return infer_numbers(read_table(path), config.data, task=config.task)


def prepared(path: Path, *, valid: Path | None = None, task: str | None = None, **data: Any) -> PreparedNumbers:
    config = config_from_dict({"task": task, "data": {"test_fraction": 0.0, **data}}, name="test")
    made = prepare(config, path, valid=valid)
    assert isinstance(made, PreparedNumbers)
    return made


def long(path: Path, *, series: int = 6, change: Sequence[str] = ()) -> Path:
    """`series` series of four steps, labels a and b in turn; `change` are lines more."""
    rows = [f"s{n},{t},{n + t * (-1) ** n},{t},{'ab'[n % 2]}" for n in range(series) for t in range(4)]
    return write(path, "series,time,x,y,label", [*rows, *change])


# Normalisation


def test_each_channel_is_normalised_by_all_its_numbers_in_training() -> None:
    random = np.random.default_rng(0)
    values = [random.normal(3, 7, (length, 2)) * [1, 1e-3] for length in (5, 1, 9)]
    values[0][2, 1] = np.nan
    reader, still = NumbersReader.learn(LAYOUT, [Sample(1, "", each) for each in values])
    everything = np.concatenate(values)
    for at, channel in enumerate(reader.channels):
        known = [number for number in everything[:, at] if not math.isnan(number)]
        mean = math.fsum(known) / len(known)
        scale = math.sqrt(math.fsum((number - mean) ** 2 for number in known) / len(known))
        assert (channel.mean, channel.scale) == pytest.approx((mean, scale), rel=1e-12)
    assert (still, reader.gaps, reader.input_size) == ([], True, 4)
    steps = reader.encode(values[0])
    assert steps.dtype == np.float32
    assert steps.shape == (5, 4)
    assert steps[2].tolist()[1::2] == [0.0, 0.0]  # the mean, and no mark
    assert steps[:, 2:].sum() == 9
    mean, scale = reader.channels[0].mean, reader.channels[0].scale
    np.testing.assert_allclose(steps[:, 0], (values[0][:, 0] - mean) / scale, rtol=1e-6)
    assert reader.encode(values[2], max_length=4).tolist() == reader.encode(values[2])[:4].tolist()


def test_the_order_of_samples_changes_no_bit_of_what_is_learned() -> None:
    random = np.random.default_rng(1)
    samples = [Sample(n, "", random.normal(1e6, 1e-2, (3, 2))) for n in range(4)]
    learned = [NumbersReader.learn(LAYOUT, order) for order in itertools.permutations(samples)]
    assert all(one == learned[0] for one in learned)


def test_channels_that_never_change_and_values_far_off_do_no_harm() -> None:
    values = np.array([[0.1, 1.0]] * 3 + [[0.1, 2.0]])
    reader, still = NumbersReader.learn(LAYOUT, [Sample(1, "", values)])
    assert (still, reader.channels[0].scale) == (["x"], 1.0)
    assert np.isfinite(reader.encode(np.array([[1e100, -1e100]]))).all()
    together, _ = NumbersReader.learn(NumbersLayout("idx", ("x", "y")), [Sample(1, "", np.array([[0, 8]], np.uint8))])
    assert [(channel.mean, channel.scale) for channel in together.channels] == [(4.0, 4.0)] * 2


def test_padding_is_zero_and_lengths_are_told() -> None:
    batch = pad_numbers([np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)])
    assert batch.values.shape == (2, 4, 3)
    assert batch.lengths.tolist() == [2, 4]
    assert batch.values.sum(dim=(1, 2)).tolist() == [6, 12]


# Layouts


@pytest.mark.parametrize(
    ("header", "row", "given", "kind", "inputs", "target"),
    [
        ("series,time,x,y,label", "s{h},{n},{n}.5,2,{c}", {}, "long", ("x", "y"), "label"),
        ("id,when,x,kind", "{h},2024-01-0{n},{n}.5,{c}", {}, "long", ("x",), "kind"),
        ("machine,x,label", "m{h},{n}.5,{c}", {"series": "machine"}, "long", ("x",), "label"),
        ("a,b,species", "{n}.5,{n},{c}", {}, "rows", ("a", "b"), "species"),
        ("id,a,b,label", "{n},{n}.5,1,{c}", {}, "rows", ("a", "b"), "label"),
        ("a,b,price", "{n}.5,{n},{n}.25", {"task": "regress", "target": "price"}, "rows", ("a", "b"), "price"),
        ("a,b,note,label", "{n}.5,{n},word {n},{c}", {"input": "a,b"}, "rows", ("a", "b"), "label"),
        ("a,b,split,label", "{n}.5,{n},train,{c}", {}, "rows", ("a", "b"), "label"),
        ("store,time,x,label", "{h},{n},{n}.5,{d}", {}, "rows", ("store", "time", "x"), "label"),
        ("a,note,label", "{n}.5,some words {n},{c}", {}, None, (), ""),
        ("text,stars", "some words {n},{n}", {}, None, (), ""),
        ("a,label", "{n}.5,{c}", {"input": "a", "tokens": "character"}, None, (), ""),
        ("a,b,label", "{n}.5,{n},{c}", {"task": "forecast"}, None, (), ""),
    ],
)
def test_how_a_table_is_read(
    tmp_path: Path, header: str, row: str, given: dict[str, Any], kind: str | None, inputs: tuple[str, ...], target: str
) -> None:
    """n counts rows, h is the same for half of them, and so is c; d changes with each row."""
    rows = [row.format(n=n, h=n // 5, c="ab"[n // 5], d="ab"[n % 2]) for n in range(1, 9)]
    layout = found(write(tmp_path / "t.csv", header, rows), **given)
    if kind is None:
        assert layout is None
    else:
        assert (layout.layout.kind, layout.layout.inputs, layout.target) == (kind, inputs, target)


def test_what_was_inferred_is_said(tmp_path: Path) -> None:
    made = prepared(long(tmp_path / "t.csv"))
    assert made.notes[:4] == [
        "target: label (by its name)",
        "layout: each row is a step of the series that series names, in the order of time: x, y",
        "task: classify (label holds 2 different values)",
        "t.csv: delimiter: comma (inferred)",
    ]
    assert made.notes[-1] == "samples: 5 train, 1 valid, 0 test"
    assert (made.targets.task, made.targets.labels, made.lengths) == ("classify", ("a", "b"), [4] * 5)


def test_numeric_labels_of_series_are_learned_as_numbers(tmp_path: Path) -> None:
    rows = [f"s{n},{t},{n * t},{n}.5" for n in range(40) for t in range(3)]
    made = prepared(write(tmp_path / "t.csv", "series,time,x,label", rows))
    assert (made.targets.task, made.targets.problem) == ("regress", "squared")


# What is refused


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["s6,0,one,2,a"], ('line 26: x: "one" is not a finite number', "line 26: series s6: no value")),
        (["s6,0,1,2,a", "s6,0,2,2,a"], ("line 27: the time 0.0 of series s6 stands in line 26 already",)),
        (["s6,3,1,2,a", "s6,1,2,2,a"], ("line 27: series s6: times run backwards: 1.0 comes after 3.0, which is in",)),
        (["s6,0,1,2,a", "s6,1,1,2,b"], ('line 26: series s6: it has the label "a" in line 26, and "b" in line 27',)),
        (["s6,0,1,2,", "s6,1,1,2,"], ("line 26: series s6: empty label",)),
        (["s6,soon,1,2,a"], ('line 26: "soon" is no time',)),
        (["s6,0,1,2,a", "s6,2024-01-01,1,2,a"], ("line 27: 2024-01-01 00:00:00 of series s6 is not the kind of time",)),
        ([",0,1,2,a"], ("line 26: no name of a series",)),
        (["s6,0,inf,2,a"], ('line 26: x: "inf" is not a finite number',)),
        (["s6,0,1e101,2,a"], ("line 26: x: 1e+101 is too large to compute with",)),
        (["s6,0,1"], ("line 26: 3 fields where the header has 5",)),
    ],
)
def test_a_bad_row_or_series_is_refused_with_its_line(tmp_path: Path, change: list[str], said: tuple[str, ...]) -> None:
    made = prepared(long(tmp_path / "t.csv", change=change))
    lines = [f"line {row.line}: {row.reason}" for row in made.rejected]
    assert len(lines) >= len(said)
    for expected in said:
        assert any(line.startswith(expected) for line in lines), lines
    assert {example.name for example in [*made.train, *made.valid]} >= {f"s{n}" for n in range(6)}


def test_a_bad_cell_of_a_series_leaves_a_missing_step(tmp_path: Path) -> None:
    made = prepared(long(tmp_path / "t.csv", change=["s6,0,1,2,a", "s6,1,x,2,a", "s6,2,3,4,a", "s7,0,,5,b"]))
    steps = {example.name: example.steps for example in [*made.train, *made.valid]}
    assert steps["s6"][:, 2:].tolist() == [[1, 1], [0, 0], [1, 1]]
    assert steps["s7"][:, 2:].tolist() == [[0, 1]]
    assert "2 series have missing numbers" in " ".join(made.notes)


@pytest.mark.parametrize(
    ("header", "rows", "given", "said"),
    [
        ("a,b,label", [f"{n},2,x" for n in range(8)], {}, "rows have the target x: there is nothing to tell apart"),
        ("a,b,label", ["1,2,x", "1,2,y"] * 4, {"input": "a,c"}, 'column "c" is not in t.csv'),
        ("a,b,label", ["1,u,x", "1,v,y"] * 4, {"input": "a,b"}, 'column "b" holds no numbers'),
        ("a,b,label", ["1,2,x", "1,3,y"] * 4, {"input": "a", "valid_fraction": 0.0}, "no number changes in training"),
        ("a,b,label", ["1,2,x", "1,3,y"] * 4, {"lowercase": True}, "lowercase is a setting of texts, here numbers"),
        ("a,b,label", ["1,2,x", "1,3,y"] * 4, {"frequency": "1 day"}, "frequency is a setting of forecast"),
        (
            "a,b,label",
            ["1,2,x", "1,3,y"] * 4,
            {"time": "a"},
            "series and time are settings of tables with a row a step",
        ),
        ("a,b,label", ["1,2,x", "1,3,y"] * 4, {"max_length": 3}, "a row of features has no length"),
        ("a,b,label", ["1,2,x", "1,3,y"] * 4, {"task": "regress", "target": "label"}, "row can be used. The first, in"),
        ("a,b,label", ["x,2,x", "y,3,y"] * 4, {"input": "a,b"}, 'column "a" holds no numbers'),
    ],
)
def test_what_cannot_be_learned_is_one_clear_line(
    tmp_path: Path, header: str, rows: list[str], given: dict[str, Any], said: str
) -> None:
    with pytest.raises((ConfigError, DataError)) as refused:
        prepared(write(tmp_path / "t.csv", header, rows), **given)
    assert said in str(refused.value).replace("sample can", "row can")


def test_other_files_need_the_same_columns_and_channels(tmp_path: Path) -> None:
    train = long(tmp_path / "t.csv")
    with pytest.raises(DataError, match='v.csv has no column "y", which is needed'):
        prepared(train, valid=write(tmp_path / "v.csv", "series,time,x,label", ["s,1,2,a"]))
    one, two = ("@univariate true\n@classLabel true a b\n@data\n1,2:a\n3,4:b\n", "@classLabel true a b\n@data\n1:2:a\n")
    (tmp_path / "t.ts").write_text(one)
    (tmp_path / "v.ts").write_text(two)
    with pytest.raises(DataError, match="v.ts has steps of 2 numbers, but 1 are read"):
        prepared(tmp_path / "t.ts", valid=tmp_path / "v.ts")
    for settings, said in [
        ({"input": "x"}, "has no columns to choose from"),
        ({"target": "x"}, "the labels of t.ts have their own place"),
        ({"series": "x"}, "series and time are settings of tables"),
        ({"task": "tag"}, "--task classify or regress"),
    ]:
        with pytest.raises(SeqloomError, match=said):
            prepared(tmp_path / "t.ts", **settings)
    (tmp_path / "t.ts").write_text("@univariate true\n@classLabel false\n@data\n1,2\n3,4\n")
    with pytest.raises(DataError, match="has no labels"):
        prepared(tmp_path / "t.ts")


# Parts


def test_parts_are_cut_without_leaks_and_learned_from_training_alone(tmp_path: Path) -> None:
    rows = [f"{n % 10},{n % 10 * 1000},{'ab'[n % 2]}" for n in range(40)]
    made = prepared(write(tmp_path / "t.csv", "a,b,label", rows), valid_fraction=0.2)
    values = {part: {row.steps.tobytes() for row in getattr(made, part)} for part in ("train", "valid")}
    assert not values["train"] & values["valid"]
    seen = [int(rows[row.line - 2].split(",")[0]) for row in made.train]
    assert made.reader.channels[0].mean == pytest.approx(np.mean(seen))
    assert made.reader.channels[1].scale == pytest.approx(1000 * np.std(seen))


def test_a_split_column_parts_and_leaks_are_told(tmp_path: Path) -> None:
    rows = [f"{n},{n},{'ab'[n % 2]},train" for n in range(6)] + ["0,0,a,dev", "9,9,b,dev"]
    made = prepared(write(tmp_path / "t.csv", "a,b,label,split", rows))
    assert (len(made.train), len(made.valid), len(made.test)) == (6, 2, 0)
    assert made.leaks == ["1 of 2 valid samples are also in train: their scores flatter"]
    assert made.notes[-1:] == made.leaks
