"""What holds for every command: exit codes, what goes where, and a clear line for each mistake."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from seqloom.cli import answers, predict
from tests.cli.conftest import Run, child, command
from tests.trained import Trained


@pytest.fixture
def folder(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with good and bad files; `model` and `reviews.csv` are good."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(trained.classifier)
    (tmp_path / "reviews.csv").write_bytes(trained.reviews.read_bytes())
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "head.csv").write_text("text,label\n")
    (tmp_path / "same.csv").write_text("text,label\n" + "".join(f"text {n},x\n" for n in range(9)))
    (tmp_path / "few.csv").write_text("text,label\na,x\nb,y\n")
    (tmp_path / "strange.csv").write_text("text,label\nfilm,unheard\n")
    (tmp_path / "bad.toml").write_text('[model]\nhidden_size = 4\ncel = "gru"\n')
    (tmp_path / "broken.toml").write_text("[model\n")
    (tmp_path / "steer.csv").write_bytes(
        b"te\x1b[31mxt,label\n" + b"".join(b"good %d,x\x1b[2J\n" % n for n in range(9))
    )
    return tmp_path


MISTAKES = [
    ("train reviews.csv --target lable", ['column "lable" is not in reviews.csv', 'did you mean "label"?', "--target"]),
    ("train reviews.csv --input label --target label", ['column "label" cannot be both input and target']),
    ("train review.csv", ['there is no file review.csv, did you mean "reviews.csv"?']),
    ("train qqqqqqqqqqqq", ["there is no file qqqqqqqqqqqq in this folder. Give the path of a CSV"]),
    ("train folder", ["folder is a folder. Name a file in it."]),
    ("train empty.csv", ["empty.csv is empty. A first line with column names and at least one row are needed."]),
    ("train head.csv", ["head.csv has no row that can be used."]),
    ("train same.csv", ["all", "training rows have the target x: there is nothing to tell apart."]),
    ("train few.csv", ["2 different texts cannot be parted into 3 sets."]),
    ("train reviews.csv --out model", ["model holds a training already, and it is not overwritten."]),
    ("train reviews.csv --out taken", ["cannot write taken: File exists. Choose another folder."]),
    ("train reviews.csv --resume", ["--resume needs --out FOLDER: the training to go on with."]),
    ("train reviews.csv --resume --out folder", ["folder holds no checkpoint to resume from."]),
    ("train reviews.csv --valid nowhere.csv", ["there is no file nowhere.csv"]),
    ("train reviews.csv --test strange.csv", ['label "unheard" does not occur in training']),
    (
        "train reviews.csv --task clasify",
        [
            "task = 'clasify': input should be 'classify', 'regress', 'translate', 'tag', 'generate', 'caption' or "
            "'forecast'"
        ],
    ),
    ("train reviews.csv --task regress", ['"positive" is not a finite number']),
    ("train reviews.csv --device gpu", ["device = 'gpu': input should be 'auto', 'cpu' or 'cuda'"]),
    ("train reviews.csv --seed -1", ["seed = -1: input should be greater than or equal to 0"]),
    ("train reviews.csv --epochs 0", ["training.epochs = 0: input should be greater than or equal to 1"]),
    ("train reviews.csv --set hiden_size=4", ['hiden_size: unknown setting, did you mean "hidden_size"?']),
    ("train reviews.csv --set hidden_size", ['--set hidden_size: no "=" found. Write it as --set section.key=value.']),
    ("train reviews.csv --set task.x=1", ["task = {'x': 1}"]),
    ("train reviews.csv --set hidden_size=99999999", ["model.hidden_size = 99999999", "less than or equal to 65536"]),
    ("train reviews.csv --set valid_fraction=0", ["no validation rows: the best epoch cannot be chosen."]),
    ("train reviews.csv --set vectors=nowhere.txt", ["nowhere.txt"]),
    ("train reviews.csv --config bad.toml", ['bad.toml:3: model.cel: unknown setting, did you mean "cell"?']),
    ("train reviews.csv --config broken.toml", ["broken.toml is not TOML", "line 1"]),
    ("train reviews.csv --config nowhere.toml", ["cannot read the settings file nowhere.toml"]),
    ("check nowhere.csv", ["there is no file nowhere.csv"]),
    ("check empty.csv", ["empty.csv is empty."]),
    ("check steer.csv --target x", ["te\\u001b[31mxt"]),
    ("evaluate nowhere reviews.csv", ["nowhere does not exist. Check the path, or train a model into it."]),
    ("evaluate folder reviews.csv", ["folder/manifest.json is missing."]),
    ("evaluate taken reviews.csv", ["taken cannot be read: Not a directory. Give the folder of a model."]),
    ("evaluate model strange.csv", ['no row can be used: line 2: label "unheard" does not occur in training']),
    ("evaluate model few.tsv", ["there is no file few.tsv"]),
    ("evaluate model steer.csv", ['steer.csv has no column "text", which this model was trained with']),
    ("predict model steer.csv", ['has no column "text"', "(columns: te\\u001b[31mxt, label)"]),
    ("predict model", ['give either a FILE (or - for stdin) or --text "...".']),
    ("predict model reviews.csv --text x", ['give either a FILE (or - for stdin) or --text "...".']),
    ("predict nowhere --text x", ["nowhere does not exist."]),
    ("predict model nowhere.csv", ["there is no file nowhere.csv"]),
    ("demo --fast --out taken", ["cannot write taken: File exists."]),
    ("demo --fast --out .", ["reviews.csv is there already, and it is not overwritten."]),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_each_mistake_ends_with_2_and_a_clear_line(run: Run, folder: Path, words: str, said: list[str]) -> None:
    code, out, err = run(*words.split())
    assert code == 2
    assert out == ""
    last = err[err.index("error: ") :]
    for part in said:
        assert part in last
    assert "Traceback" not in err
    assert "\x1b" not in err


def test_a_gpu_that_is_not_there_is_said(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, out, err = run("train", "reviews.csv", "--device", "cuda")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        "error: device is cuda, but this torch finds no GPU. Use --device cpu; why: seqloom doctor"
    )


USAGE = [
    ("train", "Missing argument 'DATA'"),
    ("trian reviews.csv", "No such command 'trian'. Did you mean 'train'?"),
    ("train reviews.csv --traget label", "--target"),
    ("train reviews.csv --epochs many", "Invalid value for '--epochs'"),
    ("evaluate model", "Missing argument 'DATA'"),
    ("predict model --format xml --text x", "Invalid value for '--format'"),
    ("doctor reviews.csv", "unexpected extra argument"),
]


@pytest.mark.parametrize(("words", "said"), USAGE, ids=[words for words, _ in USAGE])
def test_a_command_written_wrong_ends_with_2_and_says_how_it_is_written(run: Run, words: str, said: str) -> None:
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert "Usage: seqloom" in err
    assert said in " ".join(err.replace("│", " ").split())


def test_a_bug_ends_with_1_and_asks_for_a_report(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "print_csv", lambda rows, targets: 1 // 0)
    code, _, err = run("predict", "model", "--text", "good", "--format", "csv")
    assert code == 1
    assert "ZeroDivisionError" in err
    assert "this is a bug in seqloom: please report the lines above with the command you gave" in err


def test_version_is_printed(run: Run) -> None:
    assert run("--version") == (0, "seqloom 0.1.0\n", "")


@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("predict", "-h"), ()])
def test_help_comes_without_torch(words: tuple[str, ...]) -> None:
    script = (
        f"import sys; sys.argv = {['seqloom', *words]!r}\nfrom seqloom.cli import main\n"
        "try:\n    main()\nfinally:\n    print('loaded:', [m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([*command()[:2], script], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("loaded: []\n")
    assert "Usage: seqloom" in done.stdout


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_do_not_spin_long_unless_the_user_says_so(given: dict[str, str], spins: str | None) -> None:
    script = (
        "import os, sys; sys.argv = ['seqloom', '--version']\nfrom seqloom.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    done = subprocess.run([*command()[:2], script], env=environment | given, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"False {spins}"


@pytest.mark.parametrize(("words", "code"), [("--help", 1), pytest.param("doctor", 141, marks=pytest.mark.long)])
def test_closed_stdout_ends_a_command_quietly(words: str, code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command(words), stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == code


def test_head_gets_its_line_and_nobody_complains(trained: Trained, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text\n" + "the film was good\n" * 5_000)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command("predict", trained.classifier, rows), **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["input"] == "the film was good"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_under_stdout_is_said() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command("doctor"), stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == b"error: the result cannot be written: no space left. Free some, or send it elsewhere.\n"


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"LC_ALL": "C"}, marks=pytest.mark.long),
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_results_are_utf_8_in_every_locale(trained: Trained, environment: dict[str, str]) -> None:
    text = "été 好 😀"
    done = child("predict", trained.classifier, "-", stdin=text.encode(), **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert text in done.stdout.decode("utf-8")
    assert json.loads(done.stdout)["input"] == text


def test_ctrl_c_outside_training_ends_with_130(run: Run, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "_lines", stop)
    assert run("predict", trained.classifier, "-") == (130, "", "interrupted: stopped by the user\n")
