"""The rules of the house: what is imported when, how large things may be, what the package never does."""

import ast
import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import seqloom
from seqloom.kernels import native

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Definition = FunctionNode | ast.ClassDef


@functools.cache
def parse(source: Path) -> ast.Module:
    return ast.parse(source.read_text(encoding="utf-8"), filename=str(source))


@functools.cache
def nodes(source: Path) -> list[ast.AST]:
    return list(ast.walk(parse(source)))


def functions(source: Path) -> Iterator[FunctionNode]:
    return (node for node in nodes(source) if isinstance(node, FunctionNode))


def lines_of(node: FunctionNode) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def assert_none(faults: Callable[[Path], list[str]]) -> None:
    """No source has any of these faults."""
    found = {str(source.relative_to(ROOT / "src")): faults(source) for source in SOURCES}
    assert {name: own for name, own in found.items() if own} == {}


def run_python(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Imports


def test_importing_seqloom_imports_no_torch() -> None:
    loaded = run_python("import sys, seqloom; dir(seqloom); seqloom.__version__; print(*sys.modules)").split()
    assert "seqloom" in loaded
    assert not {"torch", "numpy", "pydantic", "rich"} & set(loaded)


@pytest.mark.skipif(not (ROOT / "src/seqloom/cli/__init__.py").exists(), reason="there is no command line yet")
def test_help_imports_no_torch() -> None:
    script = (
        "import sys; sys.argv = ['seqloom', '--help']\nfrom seqloom.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\nprint('torch' in sys.modules)"
    )
    assert run_python(script).splitlines()[-1] == "False"


def test_every_public_name_is_found_when_it_is_used() -> None:
    for name in seqloom.__all__:
        assert getattr(seqloom, name) is not None
    assert not hasattr(seqloom, "no_such_name")


def test_public_names_are_the_ones_that_type_checkers_see() -> None:
    [guard] = [node for node in parse(ROOT / "src/seqloom/__init__.py").body if isinstance(node, ast.If)]
    seen = {alias.name for node in guard.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen | {"__version__"} == set(seqloom.__all__)


def planted(tmp_path: Path, *, imports: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What the import rules say of a package with the rooms of this one, each module importing what it is given."""
    package = tmp_path / "planted"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for room in set(re.findall(r"\((\w+)\)", text[text.index("layers = [") :])) | set(imports):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text(imports.get(room, ""))
    (package / "__init__.py").touch()
    rules = text[text.index("[tool.importlinter]") :].replace("seqloom", "planted")
    (tmp_path / "pyproject.toml").write_text(rules, encoding="utf-8")
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", script, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_import_rules_accept_what_is_allowed(tmp_path: Path) -> None:
    allowed = {
        "cli": "import rich, typer, planted.serve",
        "serve": "import fastapi, uvicorn, planted.inference",
        "inference": "import torch, planted.bundle",
        "bundle": "import planted.files",
    }
    done = planted(tmp_path, imports=allowed)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("room", "statement", "rule"),
    [
        ("errors", "import planted.shapes", "Rooms import one way"),
        ("nn", "import planted.text", "Rooms import one way"),
        ("training", "import planted.cli", "Rooms import one way"),
        ("elsewhere", "import planted.nn", "Rooms import one way"),
        ("text", "import torch", "Settings, texts and files know no torch"),
        ("files", "from torch import nn", "Settings, texts and files know no torch"),
        ("serve", "import planted.training", "Serving knows no training"),
        ("training", "import rich", "HTTP and terminal libraries stay in serve and cli"),
        ("inference", "import fastapi", "HTTP and terminal libraries stay in serve and cli"),
        ("serve", "import typer", "HTTP and terminal libraries stay in serve and cli"),
    ],
)
def test_import_rules_catch_a_planted_violation(room: str, statement: str, rule: str, tmp_path: Path) -> None:
    done = planted(tmp_path, imports={room: statement})
    assert done.returncode == 1, done.stdout
    assert f"{rule} BROKEN" in done.stdout


# Sizes and manners


def test_modules_open_with_their_reason_and_fit_400_lines() -> None:
    def faults(source: Path) -> list[str]:
        lines = len(source.read_text(encoding="utf-8").splitlines())
        return ["no docstring"] * (not ast.get_docstring(parse(source))) + [f"{lines} lines"] * (lines > 400)

    assert_none(faults)


def test_public_names_are_documented() -> None:
    def faults(source: Path) -> list[str]:
        public = [node for node in parse(source).body if isinstance(node, Definition) and node.name[0] != "_"]
        methods = [
            node
            for owner in public
            if isinstance(owner, ast.ClassDef)
            for node in owner.body
            if isinstance(node, FunctionNode) and node.name[0] != "_"
        ]
        inherited = {node.name for node in methods if ast.get_docstring(node)} | {"forward", "backward", "extra_repr"}
        needed = [*public, *(node for node in methods if node.name not in inherited)]
        return [node.name for node in needed if not ast.get_docstring(node)]

    assert_none(faults)


def test_functions_fit_80_lines_and_8_parameters() -> None:
    def faults(source: Path) -> list[str]:
        long = [f"{node.name} has {lines_of(node)} lines" for node in functions(source) if lines_of(node) > 80]
        # A command's parameters are its options; the Python face has the same ones.
        if "cli" in source.parts or source.name == "api.py":
            return long
        return long + [
            f"{node.name} has more than 8 parameters"
            for node in functions(source)
            if sum(a.arg != "self" for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]) > 8
        ]

    assert_none(faults)


def test_nine_functions_in_ten_fit_30_lines() -> None:
    lengths = sorted(lines_of(node) for source in SOURCES for node in functions(source))
    assert lengths[len(lengths) * 9 // 10] <= 30


def test_constructors_name_their_parameters() -> None:
    def faults(source: Path) -> list[str]:
        return [f"line {node.lineno}" for node in functions(source) if node.name == "__init__" and node.args.kwarg]

    assert_none(faults)


def test_nothing_is_unpickled_or_evaluated() -> None:
    modules = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    calls = {"eval", "exec", "compile", "__import__", "torch.load", "torch.jit.load", "np.load", "numpy.load"}

    def forbidden(node: ast.AST) -> bool:
        if isinstance(node, ast.Import):
            return bool(modules & {alias.name.partition(".")[0] for alias in node.names})
        if isinstance(node, ast.ImportFrom):
            loads = node.module == "torch" and "load" in {alias.name for alias in node.names}
            return loads or (node.module or "").partition(".")[0] in modules
        return isinstance(node, ast.Call) and ast.unparse(node.func) in calls

    assert_none(lambda source: [ast.unparse(node) for node in nodes(source) if forbidden(node)])


def test_imports_stand_at_the_top_but_for_commands() -> None:
    """A command imports what is heavy when it runs, and tools that wait for their environment do so too."""

    def faults(source: Path) -> list[str]:
        if "cli" in source.parts:
            return []
        inner = [each for node in functions(source) for each in ast.walk(node)]
        return [ast.unparse(each) for each in inner if isinstance(each, ast.Import | ast.ImportFrom)]

    assert_none(faults)


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    machine_path = re.compile(r"/(work|root|home/\w+|Users/\w+)/")
    folders = ["src", "csrc", "tests", "tools", "docs", "benchmarks", ".ci"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    texts = [path for path in files if path.suffix not in (".so", ".pyc") and path != Path(__file__).resolve()]
    assert [str(p) for p in texts if machine_path.search(p.read_text(encoding="utf-8", errors="replace"))] == []


def test_no_comment_postpones_its_work() -> None:
    def faults(source: Path) -> list[str]:
        with source.open("rb") as lines:
            comments = [token.string for token in tokenize.tokenize(lines.readline) if token.type == tokenize.COMMENT]
        return [comment for comment in comments if re.search(r"TODO|FIXME|XXX|HACK", comment)]

    assert_none(faults)


# Packaging


def test_torch_is_no_part_of_the_build() -> None:
    assert not [need for need in PROJECT["build-system"]["requires"] if "torch" in need]


def test_all_is_every_extra() -> None:
    extras: dict[str, Any] = PROJECT["project"]["optional-dependencies"]
    [everything] = extras["all"]
    assert set(everything.removeprefix("seqloom[").removesuffix("]").split(",")) == set(extras) - {"all", "dev"}


def test_installed_version_is_the_one_the_package_says() -> None:
    assert importlib.metadata.version("seqloom") == seqloom.__version__


def test_every_pin_fits_what_the_package_asks_for() -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
    )
    requirements = pytest.importorskip("packaging.requirements")
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    asked += [need for extra in ("text", "baselines", "data", "dev") for need in _extra(extra)]
    for requirement in map(requirements.Requirement, asked):
        if requirement.name != "seqloom":
            assert pins[requirement.name] in requirement.specifier, requirement


def _extra(name: str) -> list[str]:
    needs: list[str] = PROJECT["project"]["optional-dependencies"][name]
    return needs


def test_licence_is_apache_2_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_core_is_built_where_a_compiler_is_found() -> None:
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler is found")
    assert native.available(), native.reason()
