"""All settings of a run, to and from TOML.

A key that does not exist is an error that names its file, its line and the nearest key that does.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from seqloom.errors import ConfigError, nearest
from seqloom.settings import (
    DataSettings,
    DecodingSettings,
    ForecastSettings,
    ModelSettings,
    Settings,
    Task,
    Tokens,
    TrainingSettings,
)

__all__ = [
    "OWN_DEFAULTS",
    "Config",
    "DataSettings",
    "DecodingSettings",
    "ForecastSettings",
    "ModelSettings",
    "Settings",
    "Task",
    "Tokens",
    "TrainingSettings",
    "config_from_dict",
    "for_task",
    "load_config",
    "to_toml",
]


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
    forecast: ForecastSettings = ForecastSettings()


# What suits a task better than the default of all.
OWN_DEFAULTS: dict[Task, dict[str, dict[str, Any]]] = {
    # Words that stand in training once or twice are learned by heart, and their characters little.
    "tag": {"model": {"word_dropout": 0.3}},
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
