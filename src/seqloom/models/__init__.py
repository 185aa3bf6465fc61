"""The models, one file a topology."""

from seqloom.models.captioner import Captioner
from seqloom.models.forecaster import Forecaster
from seqloom.models.language_model import LanguageModel, LanguageWriter
from seqloom.models.many_to_one import ManyToOne, Problem
from seqloom.models.parts import LossOptions
from seqloom.models.seq2seq import Seq2Seq, TextWriter
from seqloom.models.tagger import Tagger
from seqloom.models.text_decoder import TextDecoder

AnyModel = Captioner | Forecaster | LanguageModel | ManyToOne | Seq2Seq | Tagger

__all__ = [
    "AnyModel",
    "Captioner",
    "Forecaster",
    "LanguageModel",
    "LanguageWriter",
    "LossOptions",
    "ManyToOne",
    "Problem",
    "Seq2Seq",
    "Tagger",
    "TextDecoder",
    "TextWriter",
]
