"""Every setting there is, on one page, section by section.

No torch here: settings are checked before anything heavy is imported.
"""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Task = Literal["classify", "regress", "translate", "tag", "generate", "caption", "forecast"]
WrittenTokens = Literal["word", "character", "byte", "subword"]
Tokens = WrittenTokens | Literal["whitespace"]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=1, le=65_536)]


class Settings(BaseModel):
    """Settings are frozen, know no key but their own, and take a value for what it is: "no" is not false."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSettings(Settings):
    """How rows become sequences of numbers."""

    input: str | None = Field(
        None, description="column that is read, or columns of numbers with commas between; inferred where not given"
    )
    target: str | None = Field(None, description="column that is learned; inferred where not given")
    tokens: Tokens | None = Field(
        None,
        description="what one time step reads; where not given word, or character where most texts are a single word; "
        "for translate and generate what suits the texts",
    )
    target_tokens: WrittenTokens | None = Field(
        None, description="translate, caption: what one time step writes; what suits the texts where not given"
    )
    joint_vocabulary: bool = Field(False, description="translate: one vocabulary for both sides")
    lowercase: bool | None = Field(
        None,
        description="read capitals as small letters; where not given true, but false where texts are written",
    )
    normal_form: Literal["NFC", "NFKC"] = Field("NFC", description="Unicode normal form of the tokens")
    min_count: Count = Field(1, description="how often a token must occur in training to be known")
    max_vocabulary: Count | None = Field(
        None, description="tokens known at most, the most frequent first; 50,000, fewer subwords, where not given"
    )
    max_length: Count | None = Field(None, description="time steps read at most; longer rows are cut, and counted")
    frames: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        None, description="series of numbers: steps read at once; as many as leave about 15 where not given"
    )
    vectors: str | None = Field(None, description="pretrained word vectors, a GloVe, word2vec or fastText text file")
    label_separator: str | None = Field(None, description="what stands between the labels of a row that has several")
    series: str | None = Field(None, description="of numbers: column that tells series apart; inferred where not given")
    time: str | None = Field(None, description="of numbers: column of times; inferred where not given")
    frequency: str | None = Field(
        None, description="forecast: how far steps are apart, such as 15 minutes; inferred where not given"
    )
    image_size: Annotated[int, Field(ge=16, le=1024)] | None = Field(
        None, description="caption: pixels a side that each image is made to have; 64 where not given"
    )
    valid_fraction: Fraction = Field(0.1, description="share of the rows kept to choose the best epoch")
    test_fraction: Fraction = Field(0.1, description="share of the rows kept for the final figures")


class ModelSettings(Settings):
    """What is trained."""

    cell: Literal["simple_rnn", "lstm", "gru"] = Field("lstm", description="the recurrent cell")
    embedding: Literal["learned", "one_hot"] = Field("learned", description="how a token becomes a vector")
    embedding_size: Size = Field(128, description="size of a learned token vector")
    freeze_embedding: bool = Field(False, description="keep the token vectors as they start")
    hidden_size: Size = Field(128, description="units of each layer and direction")
    num_layers: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="layers, each reading the outputs of the one below"
    )
    bidirectional: bool = Field(True, description="read from both sides; generate reads one way")
    residual: bool = Field(False, description="add the input of a layer to its output, from the second layer on")
    pooling: Literal["last", "mean", "max", "attention"] = Field("max", description="how all steps become one vector")
    attention: Literal["additive", "general", "dot", "none"] = Field(
        "additive",
        description="translate, caption: how each step that writes compares itself with the steps that were read",
    )
    reverse_source: bool = Field(False, description="translate: read from the last token to the first")
    readout: Literal["tanh", "direct"] = Field(
        "tanh", description="translate, caption: a layer between state and softmax, or none"
    )
    tied_embeddings: bool = Field(
        False,
        description="for texts: the softmax weighs by the vectors of the tokens; of both sides, where joint",
    )
    softmax: Literal["full", "adaptive"] = Field(
        "full", description="generate: adaptive spends less on rare tokens, for large vocabularies"
    )
    output: Literal["softmax", "crf"] = Field(
        "softmax", description="tag: each tag for itself, or all of a sentence together, by which follows which"
    )
    characters: bool = Field(True, description="tag: read the characters of each word too, from both sides")
    character_size: Size = Field(64, description="tag: size of a character's vector, and units of each direction")
    activation: Literal["tanh", "relu", "leaky_relu"] = Field("tanh", description="activation of a simple_rnn")
    init: Literal["uniform", "orthogonal", "identity", "glorot"] = Field(
        "orthogonal", description="how the feedback weights start"
    )
    initial_state: Literal["zeros", "random", "learned"] = Field("zeros", description="the state before the first step")
    reset_after: bool = Field(False, description="gru: apply the reset gate after the feedback product, as cuDNN does")
    bias: bool = Field(True, description="add a bias to each gate")
    layer_norm: bool = Field(False, description="normalise what enters the gates")
    dropout: Fraction = Field(0.3, description="share of the vector values dropped around and between the layers")
    variational_dropout: bool = Field(
        False, description="generate: dropout takes the same units at all steps of a window, not others at each"
    )
    word_dropout: Fraction = Field(
        0.1,
        description="share of the tokens read as unknown while training; tag 0.3, generate 0 if not given",
    )
    recurrent_dropout: Fraction = Field(0.0, description="share of the fed-back units dropped, one mask a sequence")
    weight_dropout: Fraction = Field(0.0, description="share of the feedback weights dropped, others at each step")

    @model_validator(mode="after")
    def _all_apply(self) -> Self:
        """Refuse a setting that the chosen cell or embedding would ignore in silence."""
        if self.activation != "tanh" and self.cell != "simple_rnn":
            raise PydanticCustomError("idle", f"activation is a setting of simple_rnn, the cell is {self.cell}")
        if self.reset_after and self.cell != "gru":
            raise PydanticCustomError("idle", f"reset_after is a setting of gru, the cell is {self.cell}")
        if self.freeze_embedding and self.embedding != "learned":
            raise PydanticCustomError("idle", "freeze_embedding is a setting of the learned embedding")
        if self.character_size != 64 and not self.characters:
            raise PydanticCustomError("idle", "character_size is a setting of models that read characters")
        if self.tied_embeddings and (self.embedding != "learned" or self.readout != "tanh"):
            raise PydanticCustomError("idle", "tied_embeddings needs the learned embedding and readout tanh")
        return self


class TrainingSettings(Settings):
    """How it is trained."""

    epochs: Count | None = Field(
        None,
        description="passes over the rows at most; 1,500 steps (tag, caption 6,000), 5 to 40 (numbers 150) if unset",
    )
    max_minutes: Annotated[float, Field(gt=0)] | None = Field(None, description="stop after so many minutes")
    batch_size: Count | None = Field(
        None,
        description="rows of one step, for generate places at once; 64 (tag, caption 16), fewer for few, if not given",
    )
    window: Count = Field(
        64, description="generate: time steps of one window; the state is carried into the next, the gradient is not"
    )
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="what moves the weights")
    learning_rate: Annotated[float, Field(gt=0)] = Field(2e-3, description="peak learning rate")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="weight decay")
    warmup: Fraction = Field(0.05, description="share of the steps in which the learning rate rises")
    decay: Literal["linear", "cosine", "constant", "halving"] = Field(
        "linear", description="how the learning rate then falls; halving: after each epoch of the last two thirds"
    )
    clip_norm: Annotated[float, Field(gt=0)] = Field(1.0, description="largest norm of all gradients together")
    class_weights: Literal["none", "balanced"] = Field("none", description="balanced: rare classes weigh more")
    label_smoothing: Fraction = Field(0.0, description="share of the target given to the other classes")
    scheduled_sampling: Fraction = Field(
        0.0, description="translate, caption: share of the tokens that are the model's own when the last epoch begins"
    )
    patience: Count | None = Field(
        None, description="epochs without a better validation before stopping; where not given a quarter, 3 at least"
    )
    average: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.998,
        description="decay of the running mean of the weights that is validated and kept; 0: the weights themselves",
    )
    checkpoint_minutes: Annotated[float, Field(ge=0)] = Field(
        5.0, description="minutes between checkpoints in an epoch"
    )
    baselines: bool = Field(True, description="compare with the majority class and a linear model at the end")


class DecodingSettings(Settings):
    """How a text is written, token by token (tasks translate, generate and caption)."""

    beam: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="texts that are followed at once; 1: greedy")
    length_penalty: Annotated[float, Field(ge=0)] = Field(
        1.0, description="scores are divided by length to this power, or long texts lose"
    )
    coverage_penalty: Annotated[float, Field(ge=0)] = Field(
        0.0, description="what it costs to leave a part of the source unattended (Wu et al. 2016)"
    )
    max_output: Count | None = Field(
        None, description="tokens at most; where not given what training texts need, for generate 200"
    )
    no_repeat: Annotated[int, Field(ge=0)] = Field(
        0, description="no run of so many tokens is written twice; 0: any may be"
    )
    replace_unknown: bool = Field(True, description="write the attended source word where an unknown one is meant")
    weights: Literal["float32", "int8"] = Field(
        "float32", description="weights of the softmax; int8: a quarter of the memory, and not to the bit"
    )
    temperature: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="above 0 tokens are drawn, the more boldly the higher; 0: the best are taken; for generate 0.8",
    )
    top_k: Annotated[int, Field(ge=0)] = Field(0, description="draw from so many likeliest tokens; 0: from all")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="draw from the likeliest tokens that have this share together"
    )


class ForecastSettings(Settings):
    """What is read and forecast of a series (task forecast)."""

    horizon: Count | None = Field(
        None, description="steps to forecast; where not given what a test file has, or what suits the season"
    )
    context: Count | None = Field(
        None, description="steps read at most; seven seasons (without a calendar 14), or two horizons, where not given"
    )
    season: Count | None = Field(
        None, description="steps of a season; by the frequency or the data where not given; 1: none"
    )
    transform: Literal["log", "none"] | None = Field(
        None, description="read logarithms, so that errors are shares; log where all values are positive, if not given"
    )
    quantiles: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.1, 0.5, 0.9], min_length=1, description="shares of the values that lie below what is forecast, rising"
    )
    decoder: Literal["direct", "recursive"] = Field(
        "direct", description="all steps at once from the last state, or one after the other, each fed back in"
    )
    highway: bool = Field(True, description="direct: add a linear map of the steps that were read (Lai et al. 2018)")
    calendar: bool = Field(True, description="read the hour, weekday and month of each step, where there are dates")
    origins: Count | None = Field(
        None, description="forecasts scored a series at most, begun at different steps; four a horizon where not given"
    )
    windows: Count = Field(20_000, description="training windows at most; of more, evenly chosen ones are read")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        """Refuse quantiles that are out of order or there twice."""
        if any(low >= high for low, high in pairwise(self.quantiles)):
            raise PydanticCustomError("idle", f"quantiles must rise, but are {self.quantiles}")
        return self
