"""The proof that a misspelt or impossible setting is named where it stands, and that settings survive writing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from seqloom.config import (
    Config,
    DataSettings,
    DecodingSettings,
    ForecastSettings,
    ModelSettings,
    TrainingSettings,
    config_from_dict,
    load_config,
    to_toml,
)
from seqloom.errors import ConfigError

SECTIONS = {
    "data": DataSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "decoding": DecodingSettings,
    "forecast": ForecastSettings,
}


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None = None, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


# Settings files


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("[model]\nhiden_size = 3\n", 2, 'model.hiden_size: unknown setting, did you mean "hidden_size"?'),
        ("seed = 1\n\n[modle]\ncell = 'gru'\n", 3, 'modle: unknown setting, did you mean "model"?'),
        ("sede = 1\n", 1, 'sede: unknown setting, did you mean "seed"?'),
        ("model.hiden_size = 3\n", 1, 'model.hiden_size: unknown setting, did you mean "hidden_size"?'),
        ("[training]  # how\n# none\nepochs = 0\n", 3, "training.epochs = 0: input should be greater than or equal to"),
        ("[model]\ncell = 'LSTM'\n", 2, "model.cell = 'LSTM': input should be 'simple_rnn', 'lstm' or 'gru'"),
        ("[data]\nnormal_form = 'nfc'\n", 2, "data.normal_form = 'nfc': input should be 'NFC' or 'NFKC'"),
        ("[model]\ndropout = 1.0\n", 2, "model.dropout = 1.0: input should be less than 1"),
        ("[training]\nlearning_rate = nan\n", 2, "training.learning_rate = nan: input should be"),
        ("[training]\nclip_norm = inf\n", 2, "training.clip_norm = inf: input should be a finite number"),
        ("[training]\nepochs = true\n", 2, "training.epochs = True: input should be a valid integer"),
        ("[model]\nbias = 'no'\n", 2, "model.bias = 'no': input should be a valid boolean"),
        (f"seed = {2**63}\n", 1, f"seed = {2**63}: input should be less than"),
        ("model = 'lstm'\n", 1, "model = 'lstm': a section, not a setting; set its keys, such as model.cell"),
    ],
)
def test_a_wrong_setting_is_named_by_file_line_and_key(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    path = write(tmp_path, text)
    assert refusal(path).startswith(f"{path}:{line}: {complaint}")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "[model]\nhiden_size = 3\ndropout = 2\n[training]\nepochs = 'many'\nlerning_rate = 1\n")
    lines = refusal(path).splitlines()
    assert {line.split(": ")[0] for line in lines} == {f"{path}:{line}" for line in (2, 3, 5, 6)}


def test_a_key_with_no_near_name_gets_the_list_of_its_section(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "[model]\nzzz = 3\n"))
    assert "model.zzz: unknown setting, allowed: cell, embedding," in message


def test_text_that_is_not_toml_is_refused_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, "[model\n")
    assert f"{path} is not TOML: " in refusal(path)
    assert "line 1" in refusal(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert f"cannot read the settings file {tmp_path / 'no.toml'}: " in refusal(tmp_path / "no.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    assert f"cannot read the settings file {tmp_path / 'latin.toml'}: " in refusal(tmp_path / "latin.toml")


def test_whole_numbers_are_taken_where_a_share_or_rate_is_meant(tmp_path: Path) -> None:
    settings = load_config(write(tmp_path, "[training]\nlearning_rate = 1\n[model]\ndropout = 0\n"))
    assert (settings.training.learning_rate, settings.model.dropout) == (1.0, 0.0)


# --set


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("model.hidden_size=64", "model", "hidden_size", 64),
        ("hidden_size=64", "model", "hidden_size", 64),
        (" hidden_size = 64", "model", "hidden_size", 64),
        ("cell=gru", "model", "cell", "gru"),
        ('model.cell="gru"', "model", "cell", "gru"),
        ("bidirectional=false", "model", "bidirectional", False),
        ("learning_rate=1e-3", "training", "learning_rate", 1e-3),
        ("data.input=the review", "data", "input", "the review"),
        ('data.input="2024"', "data", "input", "2024"),
        ("label_separator=;", "data", "label_separator", ";"),
        ("label_separator=#", "data", "label_separator", "#"),
        ("label_separator==", "data", "label_separator", "="),
        ("data.target=größe", "data", "target", "größe"),
        ("data.input=a = b", "data", "input", "a = b"),
    ],
)
def test_set_reads_keys_with_and_without_section_and_values_of_every_kind(
    override: str, section: str, key: str, value: Any
) -> None:
    found = getattr(getattr(load_config(overrides=[override]), section), key)
    assert found == value
    assert type(found) is type(value)


def test_set_reaches_the_settings_outside_sections() -> None:
    settings = load_config(overrides=["seed=7", "task=regress", "device=cpu"])
    assert (settings.seed, settings.task, settings.device) == (7, "regress", "cpu")


def test_the_last_set_wins_over_the_ones_before_and_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[model]\nhidden_size = 1\ncell = 'gru'\n")
    settings = load_config(path, ["hidden_size=2", "model.hidden_size=3"])
    assert (settings.model.hidden_size, settings.model.cell) == (3, "gru")


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("hiden_size=3", 'hiden_size: unknown setting, did you mean "hidden_size"?'),
        ("sede=3", 'sede: unknown setting, did you mean "seed"?'),
        ("zzzz=3", "zzzz: unknown setting, allowed: task, seed, device, input,"),
        ("training.hidden_size=3", "settings: training.hidden_size: unknown setting, allowed: epochs,"),
        ("modle.cell=gru", 'settings: modle: unknown setting, did you mean "model"?'),
        ("model.cell=grou", "settings: model.cell = 'grou': input should be 'simple_rnn', 'lstm' or 'gru'"),
        ("epochs=3.5", "settings: training.epochs = 3.5: input should be a valid integer"),
        ("epochs=", "settings: training.epochs = '': input should be a valid integer"),
        ("seed.x=3", "settings: seed = {'x': 3}: input should be a valid integer"),
        ("model=lstm", "settings: model = 'lstm': a section, not a setting; set its keys, such as model.cell"),
        ("hidden_size", '--set hidden_size: no "=" found. Write it as --set section.key=value.'),
        ("=3", '--set =3: no "=" found. Write it as --set section.key=value.'),
    ],
)
def test_a_wrong_set_says_what_is_wrong_and_what_is_allowed(override: str, complaint: str) -> None:
    assert refusal(None, override).startswith(complaint)


def test_set_cannot_reach_into_a_single_setting_of_the_file(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "seed = 3\n"), "seed.x=3")
    assert message == "seed.x: seed is a single setting, not a section."


IDLE = [
    (["model.activation=relu"], "settings: model: activation is a setting of simple_rnn, the cell is lstm"),
    (["model.reset_after=true"], "settings: model: reset_after is a setting of gru, the cell is lstm"),
    (
        ["model.freeze_embedding=true", "model.embedding=one_hot"],
        "settings: model: freeze_embedding is a setting of the learned embedding",
    ),
    *(
        (
            ["model.tied_embeddings=true", other],
            "settings: model: tied_embeddings needs the learned embedding and readout tanh",
        )
        for other in ("model.embedding=one_hot", "model.readout=direct")
    ),
    (
        ["model.characters=false", "model.character_size=9"],
        "settings: model: character_size is a setting of models that read characters",
    ),
]


@pytest.mark.parametrize(("sets", "message"), IDLE)
def test_a_setting_that_would_be_ignored_is_refused(sets: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(overrides=sets)
    assert str(refused.value) == message


def test_named_values_go_over_the_file_and_the_base_under_it(tmp_path: Path) -> None:
    path = write(tmp_path, "seed = 3\n[model]\nhidden_size = 5\n")
    base = {"seed": 1, "model": {"hidden_size": 7, "num_layers": 2}, "training": {"epochs": 4}}
    config = load_config(path, ["epochs=6"], named={"model.hidden_size": 9, "task": None}, base=base)
    assert (config.seed, config.model.hidden_size, config.model.num_layers) == (3, 9, 2)
    assert (config.training.epochs, config.task) == (6, None)


@pytest.mark.parametrize("value", ["9" * 5000, "1979-02-31", "1979-02-01", "[", '"""', "{a = 1", "1e999", "-1", "nan"])
def test_what_is_no_number_is_refused_in_words(value: str) -> None:
    for key in ("seed", "training.learning_rate"):
        assert refusal(None, f"{key}={value}").startswith(f"settings: {key} = ")


@given(
    key=st.text("model.hidsz_= \"'[]#\\\n", max_size=12), value=st.text("0123e.-\"'[]{}=,# \\\n\t\x00\x7f", max_size=12)
)
def test_any_set_is_taken_or_refused_in_words(key: str, value: str) -> None:
    try:
        load_config(overrides=[f"{key}={value}", f"model.{value}={key}"])
    except ConfigError as error:
        assert "set" in str(error)  # --set, setting or settings: what was given is named by all three


@given(junk=st.text("[]model.seed_=\"'{}#,0123 \\\n", max_size=20), where=st.floats(0, 1))
def test_a_damaged_settings_file_is_taken_or_refused_with_its_name(
    junk: str, where: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = to_toml(Config())
    cut = int(where * len(whole))
    path = write(tmp_path_factory.mktemp("damaged"), whole[:cut] + junk + whole[cut:])
    try:
        load_config(path)
    except ConfigError as error:
        assert all(line.startswith(str(path)) for line in str(error).splitlines())


def test_every_bare_key_belongs_to_one_place() -> None:
    keys = [key for section in SECTIONS.values() for key in section.model_fields] + list(Config.model_fields)
    assert len(keys) == len(set(keys))


# Writing

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
SHARE = st.floats(0, 1, exclude_max=True)
POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False)
COUNT = st.integers(1, 2**62)


def settings_of(section: type[Any], **chosen: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any settings of a section: those of `chosen`, and for the others what their annotations allow."""
    return st.builds(section, **{name: chosen.get(name, ...) for name in section.model_fields})


# Refused beside a cell or an embedding that would ignore them.
ONLY_FOR_SOME = {"activation": "tanh", "reset_after": False, "freeze_embedding": False, "tied_embeddings": False}
ONLY_FOR_SOME["character_size"] = 64  # where characters are read

ANY_CONFIG = settings_of(
    Config,
    seed=st.integers(0, 2**63 - 1),
    data=settings_of(
        DataSettings,
        **{name: st.none() | text for name in ("input", "target", "vectors", "label_separator")},
        image_size=st.none() | st.integers(16, 1024),
        frames=st.none() | st.integers(1, 65_536),
        **dict.fromkeys(("series", "time", "frequency"), st.none() | text),
        valid_fraction=SHARE,
        test_fraction=SHARE,
        min_count=COUNT,
        **dict.fromkeys(("max_vocabulary", "max_length"), st.none() | COUNT),
    ),
    model=settings_of(
        ModelSettings,
        **{name: st.just(default) for name, default in ONLY_FOR_SOME.items()},
        **dict.fromkeys(("dropout", "word_dropout", "recurrent_dropout"), SHARE),
        **dict.fromkeys(("embedding_size", "hidden_size", "num_layers"), st.integers(1, 64)),
    ),
    training=settings_of(
        TrainingSettings,
        **dict.fromkeys(("warmup", "label_smoothing", "average", "scheduled_sampling"), SHARE),
        **dict.fromkeys(("learning_rate", "clip_norm"), POSITIVE),
        **dict.fromkeys(("batch_size", "patience"), COUNT),
        **dict.fromkeys(("weight_decay", "checkpoint_minutes"), st.just(0.0) | POSITIVE),
        epochs=st.none() | COUNT,
        max_minutes=st.none() | POSITIVE,
    ),
    decoding=settings_of(
        DecodingSettings,
        beam=st.integers(1, 1000),
        max_output=st.none() | COUNT,
        **dict.fromkeys(("no_repeat", "top_k"), st.integers(0, 2**62)),
        **dict.fromkeys(("length_penalty", "coverage_penalty", "temperature"), st.just(0.0) | POSITIVE),
        top_p=st.floats(0, 1, exclude_min=True),
    ),
    forecast=settings_of(
        ForecastSettings,
        quantiles=st.sets(st.floats(0, 1, exclude_min=True, exclude_max=True), min_size=1).map(sorted),
        **dict.fromkeys(("horizon", "context", "season", "origins"), st.none() | COUNT),
        windows=COUNT,
    ),
)


@given(config=ANY_CONFIG)
def test_any_settings_come_back_from_toml_and_from_plain_values(
    config: Config, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("round"), to_toml(config))
    assert load_config(path) == config
    assert config_from_dict(config.model_dump(), name="saved") == config


def test_toml_explains_every_setting() -> None:
    lines = to_toml(Config()).splitlines()
    for section in (Config, *SECTIONS.values()):
        for key, field in section.model_fields.items():
            if key not in SECTIONS:
                assert field.description
                assert [line for line in lines if line.removeprefix("# ").startswith(f"{key} =")], key


def test_settings_of_a_model_are_refused_by_the_name_of_their_file() -> None:
    with pytest.raises(ConfigError, match=r'^config\.json: model\.hiden_size: unknown setting, did you mean "hidden'):
        config_from_dict({"model": {"hiden_size": 3}}, name="config.json")


# What holds for all of them


def test_settings_do_not_change() -> None:
    settings = Config()
    with pytest.raises(ValidationError, match="frozen"):
        settings.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        settings.model.cell = "gru"


def test_importing_settings_imports_no_torch() -> None:
    script = "import sys, seqloom.config; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["False", "False"]
