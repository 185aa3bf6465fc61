"""`--set section.key=value` of the benchmarks that train on real data: to try settings on validation rows."""

from collections.abc import Iterable
from typing import Any


def read_overrides(given: Iterable[str]) -> dict[str, Any]:
    """The values by their keys: numbers, true and false, and texts for all else."""
    return {key: _value(text) for key, _, text in (each.partition("=") for each in given)}


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
