"""One thing that was found in data before anything is trained on it."""

from typing import Literal, NamedTuple

Level = Literal["ok", "note", "warning", "error"]


class Finding(NamedTuple):
    """One thing found: its stable number, how grave it is, and a sentence."""

    number: str
    level: Level
    text: str
