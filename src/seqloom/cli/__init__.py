"""The command line: one file a command, each a page that parses, calls the library and prints.

stdout carries the result, stderr everything else. Exit codes: 0 done, 1 a bug, 2 the user's input, 130 interrupted.
"""

import os
import sys
import traceback

import typer

from seqloom import __version__
from seqloom.cli import check, demo, doctor, evaluate, predict, train
from seqloom.errors import Interrupted, SeqloomError

app = typer.Typer(
    name="seqloom",
    help="Recurrent networks: from a CSV to a model you can trust, look into and serve.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for page in (demo, check, train, evaluate, predict, doctor):
    app.command(page.__name__.rpartition(".")[2])(page.command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"seqloom {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Run one command; leave with the exit code that says how it went."""
    try:
        app()
    except Interrupted as stopped:
        _leave(f"interrupted: {stopped}", 130)
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except SeqloomError as error:
        _leave(f"error: {error}", 2)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception:
        traceback.print_exc()
        _leave("\nthis is a bug in seqloom: please report the lines above with the command you gave", 1)


def _leave(message: str, code: int) -> None:
    # What a file or a user wrote must not steer the terminal.
    print("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in message), file=sys.stderr)
    sys.exit(code)
