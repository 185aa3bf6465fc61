"""One text and what its model saw in it, whatever the task."""

from seqloom.bundle import Bundle
from seqloom.data import NextTargets
from seqloom.lens.attention import AttentionMap, attention_map
from seqloom.lens.surprise import Surprises, surprises
from seqloom.lens.tags import TagTable, tag_table


def look(bundle: Bundle, text: str) -> AttentionMap | Surprises | TagTable:
    """What a model that writes texts attended to, what a tagger thought of each word, or what surprised a model that
    goes on with texts.

    Raises DataError for a text that cannot be read, ConfigError for a model that has nothing to show.
    """
    if isinstance(bundle.targets, NextTargets):
        return surprises(bundle, text)
    if bundle.targets.problem == "tags":
        return tag_table(bundle, text)
    return attention_map(bundle, text)
