"""One text and what its model saw in it, whatever the task."""

from seqloom.bundle import Bundle
from seqloom.data import CaptionTargets, NextTargets
from seqloom.lens.attention import AttentionMap, attention_map
from seqloom.lens.captions import RegionMap, region_map
from seqloom.lens.reading import Reading, read
from seqloom.lens.surprise import Surprises, surprises
from seqloom.lens.tags import TagTable, tag_table
from seqloom.models import ManyToOne


def look(
    bundle: Bundle, text: str, *, points: int | None = None
) -> AttentionMap | Reading | RegionMap | Surprises | TagTable:
    """How a model that answers once came to its answer, asked for its gradients at so many points; what a model that
    writes texts attended to, of a caption in the image whose file `text` names; what a tagger thought of each word; or
    what surprised a model that goes on with texts.

    Raises DataError for a text that cannot be read, ConfigError for a model that has nothing to show.
    """
    if isinstance(bundle.targets, NextTargets):
        return surprises(bundle, text)
    if bundle.targets.problem == "tags":
        return tag_table(bundle, text)
    if isinstance(bundle.model, ManyToOne):
        return read(bundle, text, points=points)
    if isinstance(bundle.targets, CaptionTargets):
        return region_map(bundle, text)
    return attention_map(bundle, text)
