"""Every setting there is, on one page: pydantic models to and from TOML.

A key that does not exist is an error that names its file, its line and the nearest key that does. No torch here:
settings are checked before anything heavy is imported.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from seqloom.errors import ConfigError, nearest

Task = Literal["classify", "regress", "translate", "generate"]
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

    input: str | None = Field(None, description="column that is read; inferred where not given")
    target: str | None = Field(None, description="column that is learned; inferred where not given")
    tokens: Tokens | None = Field(
        None,
        description="what one time step reads; word where not given, for translate and generate what suits the texts",
    )
    target_tokens: WrittenTokens | None = Field(
        None, description="translate: what one time step writes; what suits the texts where not given"
    )
    joint_vocabulary: bool = Field(False, description="translate: one vocabulary for both sides")
    lowercase: bool | None = Field(
        None,
        description="read capitals as small letters; where not given true, but false for translate and generate",
    )
    normal_form: Literal["NFC", "NFKC"] = Field("NFC", description="Unicode normal form of the tokens")
    min_count: Count = Field(1, description="how often a token must occur in training to be known")
    max_vocabulary: Count | None = Field(
        None, description="tokens known at most, the most frequent first; 50,000, fewer subwords, where not given"
    )
    max_length: Count | None = Field(None, description="time steps read at most; longer rows are cut, and counted")
    vectors: str | None = Field(None, description="pretrained word vectors, a GloVe, word2vec or fastText text file")
    label_separator: str | None = Field(None, description="what stands between the labels of a row that has several")
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
        "additive", description="translate: how each step that writes compares itself with the steps that were read"
    )
    reverse_source: bool = Field(False, description="translate: read from the last token to the first")
    readout: Literal["tanh", "direct"] = Field(
        "tanh", description="translate: a layer between state and softmax, or none"
    )
    tied_embeddings: bool = Field(
        False,
        description="translate, generate: the softmax weighs by the vectors of the tokens; of both sides, where joint",
    )
    softmax: Literal["full", "adaptive"] = Field(
        "full", description="generate: adaptive spends less on rare tokens, for large vocabularies"
    )
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
        0.1, description="share of the tokens read as unknown while training; for generate 0 where not given"
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
        if self.tied_embeddings and (self.embedding != "learned" or self.readout != "tanh"):
            raise PydanticCustomError("idle", "tied_embeddings needs the learned embedding and readout tanh")
        return self


class TrainingSettings(Settings):
    """How it is trained."""

    epochs: Count | None = Field(
        None, description="passes over the training rows at most; 1,500 steps and 5 to 40 passes where not given"
    )
    max_minutes: Annotated[float, Field(gt=0)] | None = Field(None, description="stop after so many minutes")
    batch_size: Count | None = Field(
        None,
        description="rows of one step, for generate places of the text read at once; where not given 64, fewer for few",
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
        0.0, description="translate: share of the tokens that are the model's own when the last epoch begins"
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
    """How a text is written, token by token (tasks translate and generate)."""

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


class Config(Settings):
    """All settings of one training run."""

    task: Task | None = Field(None, description="what is learned; inferred where not given")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        0, description="decides splits, first weights, data order and dropout"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where to compute; auto: a GPU where there is one"
    )
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    decoding: DecodingSettings = DecodingSettings()


# What suits a task better than the default of all.
OWN_DEFAULTS: dict[Task, dict[str, dict[str, Any]]] = {
    "generate": {
        "model": {"bidirectional": False, "word_dropout": 0.0},
        "decoding": {"max_output": 200, "temperature": 0.8},
    },
}


def load_config(
    path: str | Path | None = None,
    overrides: Iterable[str] = (),
    *,
    named: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Config:
    """Settings from a TOML file, then `section.key=value` overrides in order, then `named` values that are not None.

    `base` are the settings that hold where none of these says otherwise; the defaults where it is not given.
    Raises ConfigError for a file that cannot be read, an unknown key or a value out of its range: all of them at once.
    """
    text, name = "", "settings"
    if path is not None:
        name = str(path)
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"cannot read the settings file {path}: {why}.") from None
    try:
        values = tomllib.loads(text)
    except ValueError as error:  # a TOMLDecodeError, or a number of too many digits
        raise ConfigError(f"{name} is not TOML: {error}") from None
    try:
        Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, name=name, text=text)) from None
    values = _over(base or {}, values)
    for override in overrides:
        key, value = _read_override(override)
        _set(values, key, value)
    for key, value in (named or {}).items():
        if value is not None:
            _set(values, key, value)
    return config_from_dict(values, name="settings")


def for_task(config: Config, task: Task) -> Config:
    """The settings with the task's own defaults in place of those that nobody gave."""
    own = OWN_DEFAULTS.get(task, {})
    sections = {name: getattr(config, name) for name in own}
    changed = {
        name: section.model_copy(update={k: v for k, v in own[name].items() if k not in section.model_fields_set})
        for name, section in sections.items()
    }
    return config.model_copy(update=changed)


def config_from_dict(values: Mapping[str, Any], *, name: str) -> Config:
    """Settings from plain values, as a trained model keeps them. Raises ConfigError."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, name=name, text="")) from None


def to_toml(config: Config) -> str:
    """All settings with their values, each key explained by a comment. Keys without a value are left as comments."""
    lines: list[str] = []
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Settings):
            lines += ["", f"[{name}]"]
            for key, inner in type(value).model_fields.items():
                lines.append(_toml_line(key, getattr(value, key), inner.description))
        else:
            lines.append(_toml_line(name, value, field.description))
    return "\n".join(lines) + "\n"


def _toml_line(key: str, value: Any, description: str | None) -> str:
    if value is None:
        return f"# {key} =    # {description}"
    if isinstance(value, bool):
        shown = str(value).lower()
    elif isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        escaped = "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped)
        shown = f'"{escaped}"'
    else:
        shown = repr(value)
    return f"{key} = {shown}    # {description}"


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `below` with those of `above` over them, section by section."""
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in below.items()}
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return merged


def _read_override(override: str) -> tuple[str, Any]:
    """`section.key=value` in two parts; the value is read as TOML, and as plain text where that fails."""
    key, equals, raw = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f'--set {override}: no "=" found. Write it as --set section.key=value.')
    try:
        return key, tomllib.loads(f"value = {raw}")["value"]
    except ValueError:
        return key, raw


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at `section.key`; the section may be left out."""
    *sections, key = [part.strip() for part in path.split(".")]
    if not sections and key not in Config.model_fields:
        sections = [_section_of(key)]
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {section} is a single setting, not a section.")
    values[key] = value


def _section_of(key: str) -> str:
    """The one section that has `key`, so that `hidden_size=64` needs no `model.` before it."""
    sections = _sections()
    for section, keys in sections.items():
        if key in keys:
            return section
    known = [name for name in Config.model_fields if name not in sections]
    known += [name for keys in sections.values() for name in keys]
    raise ConfigError(f"{key}: unknown setting, {nearest(key, known)}")


def _sections() -> dict[str, list[str]]:
    return {
        name: list(field.annotation.model_fields)
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    }


def _explain(error: ValidationError, *, name: str, text: str) -> str:
    """One line a mistake: where it stands, what is wrong, what is allowed."""
    lines = []
    for mistake in error.errors():
        path = [str(part) for part in mistake["loc"]]
        where = f"{name}:{line}" if (line := _line_of(text, path)) else name
        key = ".".join(path)
        if mistake["type"] == "extra_forbidden":
            known = _sections().get(path[0], list(Config.model_fields)) if len(path) > 1 else list(Config.model_fields)
            lines.append(f"{where}: {key}: unknown setting, {nearest(path[-1], known)}")
        elif mistake["type"] == "model_type":
            what = f"a section, not a setting; set its keys, such as {key}.{_sections()[key][0]}"
            lines.append(f"{where}: {key} = {mistake['input']!r}: {what}")
        elif mistake["type"] == "idle":
            lines.append(f"{where}: {key}: {mistake['msg']}")
        else:
            what = mistake["msg"][0].lower() + mistake["msg"][1:]
            lines.append(f"{where}: {key} = {mistake['input']!r}: {what}")
    return "\n".join(lines)


def _line_of(text: str, path: list[str]) -> int | None:
    """The line of `text` on which the key at `path` is set."""
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.split("#")[0].strip()
        if stripped.startswith("["):
            section = stripped.strip("[] ")
            if section == ".".join(path):
                return number
        key = stripped.partition("=")[0].strip().strip('"')
        if stripped and ".".join(filter(None, [section, key])) == ".".join(path):
            return number
    return None
