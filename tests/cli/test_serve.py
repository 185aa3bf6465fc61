"""seqloom serve before it serves: what it refuses, and how it says so. How it serves: tests/serve."""

import re
import socket
import sys
from pathlib import Path

import pytest

from seqloom.bundle import save_bundle
from seqloom.serve.limits import Limits
from tests.cli.conftest import Run
from tests.serve.conftest import tiny_models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("to-serve") / "classifier"
    save_bundle(path, tiny_models()["one-way"], history=[], card="")
    return path


def test_limits_are_printed(run: Run) -> None:
    code, out, err = run("serve", "--print-limits", "--limit", "tokens=5")
    assert (code, err, len(out.splitlines())) == (0, "", len(Limits.model_fields))
    assert re.search(r"^tokens +5  tokens of an input$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "give the folder of a trained MODEL"),
        ("nowhere", "nowhere"),
        ("a=b=c", "b=c"),
        ("<b>=folder", '"<b>" cannot be the name of a served model'),
        ("{model} {model}", 'two models are named "classifier"'),
        ("{model} --host 0.0.0.0", "0.0.0.0 can be reached from other machines: give a --token-file"),
        ("{model} --token-file nowhere", "nowhere cannot be read: No such file or directory"),
        ("{model} --token-file {empty}", "holds no token"),
        ("{model} --token-file {weak}", "a token must have 22 ASCII characters or more"),
        ("{model} --state-key-file {weak}", "a key must have 22 characters or more"),
        ("{model} --limit tokns=5", 'there is no limit "tokns": did you mean "tokens"?'),
        ("{model} --port {port}", "Address already in use. Choose another with --port, 0 for any free one."),
        ("{model} --host 203.0.113.1 --insecure", "cannot listen on 203.0.113.1"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    run: Run, model: Path, tmp_path: Path, words: str, told: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "weak").write_text("secret\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        places = {"model": model, "empty": tmp_path / "empty", "weak": tmp_path / "weak", "port": port}
        code, out, err = run("serve", *words.format(**places).split())
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert told in err


def test_a_missing_package_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, err = run("serve", "folder")
    assert code == 2
    assert err.startswith("error: seqloom serve needs the package uvicorn") and "pip install 'seqloom[serve]'" in err
