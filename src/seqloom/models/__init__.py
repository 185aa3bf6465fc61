"""The models, one file a topology."""

from seqloom.models.captioner import Captioner
from seqloom.models.dense import Dense
from seqloom.models.forecaster import Forecaster
from seqloom.models.language_model import LanguageModel, LanguageWriter
from seqloom.models.many_to_one import ManyToOne
from seqloom.models.one_answer import OneAnswer, Problem
from seqloom.models.parts import LossOptions
from seqloom.models.seq2seq import Seq2Seq
from seqloom.models.tagger import Tagger
from seqloom.models.text_decoder import TextDecoder
from seqloom.models.text_writer import TextWriter

AnyModel = Captioner | Dense | Forecaster | LanguageModel | ManyToOne | Seq2Seq | Tagger

__all__ = [
    "AnyModel",
    "Captioner",
    "Dense",
    "Forecaster",
    "LanguageModel",
    "LanguageWriter",
    "LossOptions",
    "ManyToOne",
    "OneAnswer",
    "Problem",
    "Seq2Seq",
    "Tagger",
    "TextDecoder",
    "TextWriter",
]
