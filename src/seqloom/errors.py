"""What can go wrong, in words a user can act on.

Every expected failure is a `SeqloomError`: what was given, what is allowed, how to fix it. The command line prints it
as one clear message and exits with 2; anything else that escapes is a bug and exits with 1.
"""

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

MOST_LISTED = 20  # names in one message


class SeqloomError(Exception):
    """The user's input, settings or files are at fault, and the message says how to mend them."""


class ConfigError(SeqloomError, ValueError):
    """A setting is unknown or has a value it cannot have."""


class DataError(SeqloomError, ValueError):
    """A data file cannot be read as it is."""


class BundleError(SeqloomError, ValueError):
    """A folder is not a whole, untouched seqloom model."""


class StorageError(SeqloomError, OSError):
    """A folder cannot be written: no space, no permission, or another process is writing it."""


class TrainingError(SeqloomError, RuntimeError):
    """Training cannot start or cannot go on."""


class Interrupted(SeqloomError):
    """The user stopped it. Everything done so far is kept; the message says how to go on."""


class ShapeError(SeqloomError, ValueError):
    """A tensor has the wrong number of axes or the wrong size, dtype or device."""


class LengthError(ShapeError):
    """A length does not fit the batch it came with."""


class MissingExtraError(SeqloomError, ImportError):
    """An optional package is not installed."""


def nearest(name: str, options: Iterable[str]) -> str:
    """The sentence that helps with a misspelt name: `did you mean "label"?`, or the list of what there is, up to 20."""
    options = list(options)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    rest = len(options) - MOST_LISTED
    return "allowed: " + ", ".join(options[:MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say which `pip install` brings it.

    Raises MissingExtraError where the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs the package {package}, which is not installed. To get it: pip install 'seqloom[{extra}]'"
        ) from None
