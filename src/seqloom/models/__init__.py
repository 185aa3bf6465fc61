"""The models, one file a topology."""

from seqloom.models.language_model import LanguageModel, LanguageWriter
from seqloom.models.many_to_one import ManyToOne, Problem
from seqloom.models.parts import LossOptions
from seqloom.models.seq2seq import Seq2Seq, TextWriter

AnyModel = ManyToOne | Seq2Seq | LanguageModel

__all__ = [
    "AnyModel",
    "LanguageModel",
    "LanguageWriter",
    "LossOptions",
    "ManyToOne",
    "Problem",
    "Seq2Seq",
    "TextWriter",
]
