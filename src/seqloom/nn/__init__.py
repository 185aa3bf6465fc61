"""The layers: recurrent, wrapped and pooled, as torch modules."""

from seqloom.nn.accelerate import accelerate, restore
from seqloom.nn.adaptive import AdaptiveSoftmax
from seqloom.nn.attentive import Attentive
from seqloom.nn.convert import from_torch, to_torch
from seqloom.nn.crf import CRF
from seqloom.nn.dropout import Dropout, SequenceDropout
from seqloom.nn.embedding import OneHot
from seqloom.nn.linear import Linear
from seqloom.nn.losses import token_losses, vocabulary_loss
from seqloom.nn.pooling import AttentionPool, last_pool, max_pool, mean_pool
from seqloom.nn.recurrent import GRU, LSTM, Recurrent, SimpleRNN
from seqloom.nn.summary import Summary, summary
from seqloom.nn.wrappers import Bidirectional, Last, Stack, last_hidden

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "AdaptiveSoftmax",
    "AttentionPool",
    "Attentive",
    "Bidirectional",
    "Dropout",
    "Last",
    "Linear",
    "OneHot",
    "Recurrent",
    "SequenceDropout",
    "SimpleRNN",
    "Stack",
    "Summary",
    "accelerate",
    "from_torch",
    "last_hidden",
    "last_pool",
    "max_pool",
    "mean_pool",
    "restore",
    "summary",
    "to_torch",
    "token_losses",
    "vocabulary_loss",
]
