"""Which model it is: the untrained one that settings and what was learned of the data ask for."""

from seqloom.config import Config
from seqloom.data.caption_targets import CaptionTargets
from seqloom.data.next_targets import NextTargets
from seqloom.data.numbers import NumbersReader
from seqloom.data.series_targets import SeriesTargets
from seqloom.data.tag_targets import TagTargets
from seqloom.data.targets import Targets
from seqloom.data.text_targets import AnyTargets, TextTargets
from seqloom.models.captioner import Captioner
from seqloom.models.dense import Dense
from seqloom.models.forecaster import Forecaster
from seqloom.models.language_model import LanguageModel
from seqloom.models.many_to_one import ManyToOne
from seqloom.models.seq2seq import Seq2Seq
from seqloom.models.tagger import Tagger
from seqloom.text import Vocabulary


def build_forecaster(config: Config, targets: SeriesTargets) -> Forecaster:
    """The model of series that are forecast."""
    reader = targets.reader
    return Forecaster(
        config.model,
        config.forecast,
        input_size=reader.input_size,
        context=reader.context,
        horizon=reader.horizon,
        levels=targets.levels,
        seasons=reader.seasons,
    )


def build_for_numbers(config: Config, *, reader: NumbersReader, targets: Targets) -> Dense | ManyToOne:
    """The model of series that are answered once; of rows of features, in which nothing recurs, a dense one."""
    outputs, problem = len(targets.labels), targets.problem
    if reader.layout.dense:
        return Dense(config.model, input_size=reader.input_size, outputs=outputs, problem=problem)
    return ManyToOne(config.model, input_size=reader.input_size, frames=reader.frames, outputs=outputs, problem=problem)


def build_model(
    config: Config, *, vocabulary: Vocabulary, targets: AnyTargets
) -> Captioner | LanguageModel | ManyToOne | Seq2Seq | Tagger:
    """The model of texts, read or written."""
    if isinstance(targets, TagTargets):
        characters, tags = len(targets.characters), len(targets.labels)
        return Tagger(config.model, vocabulary_size=len(vocabulary), characters=characters, tags=tags)
    if isinstance(targets, CaptionTargets):
        return Captioner(config.model, sight=targets.sight, target_size=len(targets.vocabulary))
    if isinstance(targets, TextTargets):
        joint = config.data.joint_vocabulary
        return Seq2Seq(config.model, vocabulary_size=len(vocabulary), target_size=len(targets.vocabulary), joint=joint)
    if isinstance(targets, NextTargets):
        return LanguageModel(config.model, vocabulary_size=len(vocabulary))
    return ManyToOne(
        config.model, vocabulary_size=len(vocabulary), outputs=len(targets.labels), problem=targets.problem
    )
