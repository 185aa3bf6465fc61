"""Whether the tests notice mistakes: each of `mutations.toml` is made in a copy of the source and must turn a test red.

python -m tests.mutations.run [WORD ...]      all mutations, or those whose file or truth holds a word
"""
# ruff: noqa: T201  (a command: its table is its result)

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
AT_A_TIME = 2
LONGEST = 120  # seconds; a mutation that makes tests hang has been noticed too

# The copy must be what is tested, even where an editable installation points to the original.
PYTEST_ON_THE_COPY = """
import importlib.util, pathlib, sys
import pytest
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
found = pathlib.Path(importlib.util.find_spec("seqloom").origin)
if not found.is_relative_to(pathlib.Path.cwd()):
    sys.exit(f"the tests would run on {found}, not on the mutated copy")
sys.exit(pytest.main(sys.argv[1:]))
"""


class Mutation(NamedTuple):
    """One mistake: in `file` the text `old` becomes `new`, and `tests` must say that the truth `breaks` is broken."""

    breaks: str
    file: str
    old: str
    new: str
    tests: str


class Outcome(NamedTuple):
    """What the tests said of one mutation; `noticed` is the test that failed, or empty."""

    mutation: Mutation
    noticed: str
    output: str


def mutations() -> list[Mutation]:
    """The committed list."""
    entries = tomllib.loads(Path(__file__).with_name("mutations.toml").read_text(encoding="utf-8"))["mutation"]
    return [Mutation(**entry) for entry in entries]


def occurrences(mutation: Mutation) -> int:
    """How often `old` is found in its file; anything but 1 means that the list lags behind the source."""
    return (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old)


def attempt(mutation: Mutation) -> Outcome:
    """Make the mistake in a copy and run the tests that must notice it."""
    with tempfile.TemporaryDirectory(prefix="seqloom-mutation-") as folder:
        copy = Path(folder).resolve()
        for part in ("src", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        if core := importlib.util.find_spec("seqloom._core"):
            shutil.copy(str(core.origin), copy / "src" / "seqloom")
        mutated = copy / mutation.file
        mutated.write_text(mutated.read_text(encoding="utf-8").replace(mutation.old, mutation.new), encoding="utf-8")
        command = [sys.executable, "-c", PYTEST_ON_THE_COPY, "-x", "-q", "--tb=line", "-p", "no:cacheprovider"]
        environment = os.environ | {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                [*command, mutation.tests], cwd=copy, env=environment, capture_output=True, text=True,
                timeout=LONGEST, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Outcome(mutation, f"no answer within {LONGEST} s", "")
    failed = [line.removeprefix("FAILED ") for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    # 1 says that a test failed. Any other code says that the tests could not be run, which notices nothing, but for a
    # signal: what the mutation let through has ended the process in the middle of a test.
    noticed = failed[0].partition(" - ")[0] if done.returncode == 1 and failed else ""
    if done.returncode < 0:
        noticed = f"a test ended with signal {-done.returncode}"
    return Outcome(mutation, noticed, done.stdout + done.stderr)


def main(words: list[str]) -> int:
    """Print a line for each mutation; 1 where one survives or cannot be made."""
    chosen = [each for each in mutations() if not words or any(word in each.file + each.breaks for word in words)]
    stale = [each for each in chosen if occurrences(each) != 1]
    for mutation in stale:
        print(f"STALE     {mutation.file}: found {occurrences(mutation)} times: {mutation.old!r}")
    survived = 0
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for outcome in pool.map(attempt, [each for each in chosen if each not in stale]):
            survived += not outcome.noticed
            verdict = "noticed " if outcome.noticed else "SURVIVED"
            print(f"{verdict}  {outcome.mutation.file}: {outcome.mutation.breaks}")
            print(f"          {outcome.noticed or outcome.output[-1500:]}", flush=True)
    print(f"{len(chosen)} mutations: {survived} survived, {len(stale)} no longer found in the source")
    return 1 if survived or stale or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
