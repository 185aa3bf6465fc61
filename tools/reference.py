"""Writes docs/commands.md from the `--help` of every command, so that the page cannot drift from the program.

python tools/reference.py            write the page
python tools/reference.py --check    fail where the page is not what would be written
"""

import os
import sys
from pathlib import Path

# Read by typer when it is imported: one width, no colour, whatever the terminal.
os.environ.update({"TERMINAL_WIDTH": "80", "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})
for variable in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(variable, None)

import typer
from typer.testing import CliRunner

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
HEADER = "# Commands\n\nGenerated from the program by `make docs`; changes belong there.\n"


def command_paths(app: typer.Typer) -> list[list[str]]:
    """The words of every visible command, the program itself first, each group before its members."""
    paths: list[list[str]] = []

    def visit(command: object, path: list[str]) -> None:
        paths.append(path)
        for name, inner in getattr(command, "commands", {}).items():
            if not inner.hidden:
                visit(inner, [*path, name])

    visit(typer.main.get_command(app), [])
    return paths


def render(app: typer.Typer, *, program: str) -> str:
    """The page: one section a command, with its help as printed at 80 columns. Raises RuntimeError where help fails."""
    sections = [HEADER]
    for path in command_paths(app):
        title = " ".join([program, *path])
        result = CliRunner().invoke(app, [*path, "--help"], prog_name=program)
        if result.exit_code != 0:
            raise RuntimeError(f"{title} --help ends with {result.exit_code}: {result.output}") from result.exception
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        sections.append(f"## {title}\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


def main() -> int:
    """Write the page, or compare it with `--check`. The exit code is 1 where it differs."""
    from seqloom.cli import app

    page = render(app, program="seqloom")
    if sys.argv[1:] == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print("docs/commands.md is not what the commands say. Write it anew: make docs", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
