"""What a terminal draws: columns as high as their shares, and no text that could steer it."""

import pytest

from seqloom.cli.charts import HEIGHT, WIDTH, print_columns, print_map
from seqloom.lens import AttentionMap


def drawn(capsys: pytest.CaptureFixture[str], *shares: float) -> list[str]:
    """The columns of one row, each read from its top."""
    print_columns([str(number) for number in range(len(shares))], {"": shares})
    lines = capsys.readouterr().out.splitlines()
    rule = next(number for number, line in enumerate(lines) if "───" in line)
    rows = [line.rstrip().ljust(200) for line in lines[rule + 1 : rule + 1 + HEIGHT]]
    starts = [3 + number * (WIDTH + 2) - 2 for number in range(len(shares))]
    return ["".join(row[start + WIDTH - 1] for row in rows) for start in starts]


def test_columns_are_as_high_as_their_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(capsys, 0.0, 0.5, 1.0, 0.75 + 3 / 32, 1 / 32) == ["    ", "  ██", "████", "▃███", "   ▁"]


def test_shares_beyond_0_to_1_stay_within_the_chart(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(capsys, -0.5, 1.5) == ["    ", "████"]


def test_tokens_and_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_columns(["1-5"], {"a\x1b[2Jb": [0.5]})
    print_map(AttentionMap("", ["\x1b[2J", "[red]"], "\x1b[2J", ["\x9b2J"], [[0.9, 0.1]], 0.0))
    out = capsys.readouterr().out
    assert not {"\x1b", "\x9b"} & set(out)
    assert "[red]" in out
