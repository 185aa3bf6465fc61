"""The command line: one file a command, each a page that parses, calls the library and prints.

stdout carries the result, stderr everything else. Exit codes: 0 done, 1 a bug, 2 the user's input, 130 interrupted.
"""

import errno
import io
import os
import sys
import traceback
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from seqloom import __version__
from seqloom.cli import check, demo, doctor, evaluate, lab, look, predict, report, serve, train
from seqloom.cli.escape import escaped
from seqloom.errors import Interrupted, SeqloomError


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run a command, and settle here what typer would leave with a code that says something else."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _leave_reader()
        except KeyboardInterrupt:
            raise Interrupted("stopped by the user") from None


app = typer.Typer(
    name="seqloom",
    cls=_Commands,
    help="Recurrent networks for text: from a CSV to a model you can trust.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for page in (demo, check, train, evaluate, predict, look, report, serve, doctor):
    app.command(page.__name__.rpartition(".")[2])(page.command)
app.add_typer(lab.app, name="lab")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"seqloom {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def _wait_patiently() -> None:
    """Let OpenMP's threads sleep after a fraction of a millisecond without work; what the user has set stands.

    By itself it lets them spin for some milliseconds, in which nobody else gets the processor: beside other busy
    processes two threads then train far slower than one. It is read when torch is loaded, which is later.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def main() -> None:
    """Run one command; leave with the exit code that says how it went. What is printed is UTF-8 in every locale."""
    _wait_patiently()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        try:
            app(prog_name="seqloom")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except Interrupted as stopped:
        _leave(f"interrupted: {stopped}", 130)
    except SeqloomError as error:
        _leave(f"error: {error}", 2)
    except BrokenPipeError:
        _leave_reader()
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _silence_stdout()
            _leave("error: the result cannot be written: no space left. Free some, or send it elsewhere.", 2)
        traceback.print_exc()
        _leave("\nthis is a bug in seqloom: please report the lines above with the command you gave", 1)


def _leave(message: str, code: int) -> NoReturn:
    print(escaped(message), file=sys.stderr)
    sys.exit(code)


def _leave_reader() -> NoReturn:
    """Whoever read our output has gone: nothing to say, and the exit code of a process that SIGPIPE ended."""
    _silence_stdout()
    sys.exit(141)


def _silence_stdout() -> None:
    """Python would complain once more while closing stdout, of what it could not write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
