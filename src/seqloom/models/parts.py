"""What models have in common: token vectors, and recurrent layers as the settings ask for them."""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from seqloom.config import ModelSettings
from seqloom.kernels import take_rows
from seqloom.nn import GRU, LSTM, Bidirectional, OneHot, Recurrent, SimpleRNN, Stack
from seqloom.shapes import Batch, Float, Int, Tokens, valid_steps
from seqloom.text import PADDING, UNKNOWN


class LossOptions(NamedTuple):
    """What weighs on the loss: a weight a class (classes,), the share of a target given to the other classes, and the
    share of the tokens read while writing that are the model's own.
    """

    class_weights: Tensor | None = None
    label_smoothing: float = 0.0
    own_tokens: float = 0.0


PLAIN_LOSS = LossOptions()
SMALL = 1 << 16  # numbers of a table: to see that it is still the same takes less than its products with few tokens


def read_tokens(table: nn.Module, batch: Batch, *, dropout: nn.Module, word_dropout: float) -> Tokens:
    """One vector a different token of `batch`, ids (B, T), with word and vector dropout while `table` is in training.

    Dropout takes the same numbers from a word wherever it stands in the batch (after Gal & Ghahramani 2016).
    """
    real = valid_steps(batch.lengths, batch.values.shape[1])
    ids = torch.where(real, batch.values, PADDING)
    if table.training and word_dropout:
        unread = torch.rand(ids.shape, device=ids.device) < word_dropout
        ids = torch.where(unread & (ids != PADDING), UNKNOWN, ids)
    if _is_small(table) and not (table.training or dropout.training or torch.is_grad_enabled()):
        return Tokens(ids, table.weight)  # of which a layer knows its products
    different, places = torch.unique(ids, return_inverse=True)
    return Tokens(places, dropout(_vectors(table, different)))


def _is_small(table: nn.Module) -> TypeGuard[nn.Embedding]:
    return type(table) is nn.Embedding and table.weight.numel() <= SMALL


def _vectors(table: nn.Module, different: Int[Tensor, " N"]) -> Float[Tensor, "N E"]:
    if type(table) is nn.Embedding:
        return take_rows(table.weight, different, padding_idx=table.padding_idx)
    found: Tensor = table(different[None])[0]  # a batch of one row: what embeds ids takes (B, T) of them
    return found


def stack(settings: ModelSettings, *, input_size: int) -> Stack:
    """The layers that read: `num_layers` of them, in both directions where that is asked for."""
    size = settings.hidden_size * (2 if settings.bidirectional else 1)
    sizes = [input_size] + [size] * (settings.num_layers - 1)
    layers = [layer(settings, input_size=each) for each in sizes]
    parts = [Bidirectional(each) for each in layers] if settings.bidirectional else layers
    return Stack(parts, dropout=settings.dropout, residual=settings.residual, variational=settings.variational_dropout)


def layer(settings: ModelSettings, *, input_size: int) -> Recurrent:
    """One recurrent layer of the settings' cell."""
    kinds: dict[str, Callable[..., Recurrent]] = {
        "simple_rnn": functools.partial(SimpleRNN, activation=settings.activation),
        "lstm": LSTM,
        "gru": functools.partial(GRU, reset_after=settings.reset_after),
    }
    made = kinds[settings.cell](
        input_size,
        settings.hidden_size,
        init=settings.init,
        initial_state=settings.initial_state,
        recurrent_dropout=settings.recurrent_dropout,
        layer_norm=settings.layer_norm,
        bias=settings.bias,
    )
    made.weight_dropout = settings.weight_dropout
    return made


def embedding(settings: ModelSettings, vocabulary_size: int, *, padding: bool = True) -> tuple[nn.Module, int]:
    """What makes vectors of token ids, and their size. With `padding` the id 0 only pads: its vector stays zero."""
    if settings.embedding == "one_hot":
        return OneHot(vocabulary_size), vocabulary_size
    vectors = torch.empty(vocabulary_size, settings.embedding_size)
    if not vectors.is_meta:  # there torch would import its compiler for the random numbers
        vectors.normal_(std=settings.embedding_size**-0.5)
        if padding:
            vectors[0] = 0
    padding_idx = 0 if padding else None
    freeze = settings.freeze_embedding
    # torch has no types for this one
    table = nn.Embedding.from_pretrained(vectors, freeze=freeze, padding_idx=padding_idx)  # type: ignore[no-untyped-call]
    return table, settings.embedding_size
