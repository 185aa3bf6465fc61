"""Folders that are whole or not there: written so that a kill at any moment leaves the old or the new, read so that no
damaged or foreign byte passes.

Only names, bytes and hashes are known here. A folder's `manifest.json` lists the sha256 and the size of each file.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seqloom.errors import BundleError, StorageError
from seqloom.plain_json import parse_json

FORMAT = 1
MANIFEST = "manifest.json"
NEXT = ".next"
LOCK = ".lock"
TEMPORARY = ".part-"

MANIFEST_LIMIT = 64 * 1024
READS_WHILE_CHANGING = 50
AGAIN = "Copy the model again or train it again."

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_holders: dict[str, tuple[int, int]] = {}  # process and thread that hold the lock of a folder


class _Entry(NamedTuple):
    sha256: str
    size: int


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder of `files` and their manifest: it appears whole and durable, or not at all.

    Raises StorageError where `folder` exists or cannot be written; nothing is left behind then.
    """
    temporary = _temporary(folder.parent)
    with _writing(folder, files):
        if os.path.lexists(folder):
            raise StorageError(f"{folder} exists already, and only a new folder is written. Give another name.")
        _make_folder(folder.parent)
        try:
            _fill(temporary, files)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_folder(folder.parent)


def replace_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace the known files of a folder that others may be reading; whatever else lies in it is left alone.

    The complete new set is committed as `.next` by one rename, and then put into place file by file. While `.next` is
    there, it is what `read_folder` reads; the next writer finishes what a killed one left over.
    Raises StorageError where the folder cannot be written or another process holds its lock; it stays readable.
    """
    with lock_folder(folder), _writing(folder, files):
        finish_left_over(folder)
        write_folder(folder / NEXT, files)
        _put_into_place(folder, files)
        remove_folder(folder / NEXT)


def finish_left_over(folder: Path) -> None:
    """Put into place what a killed writer had committed, and remove what it had not.

    Raises StorageError where the folder cannot be written or another process holds its lock.
    """
    with lock_folder(folder), _writing(folder, {}):
        remove_temporaries(folder)
        if os.path.lexists(folder / NEXT):
            with contextlib.suppress(BundleError):  # a damaged left-over has nothing to give: a new set replaces it
                _put_into_place(folder, _read_listed(folder / NEXT, None))
            remove_folder(folder / NEXT)


def write_file(path: Path, data: bytes) -> None:
    """Write or replace one file: readers and kills see the old bytes or the new.

    Raises StorageError where it cannot be written; the old bytes stay.
    """
    with _writing(path, {path.name: data}):
        _replace(path, data)
        _sync_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that no half of it is ever seen under its name.

    Raises StorageError where it cannot be removed.
    """
    with _writing(folder, {}):
        doomed = _temporary(folder.parent)
        folder.rename(doomed)
        _remove(doomed)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left unfinished in `folder`; only for the one writer of it.

    Raises StorageError where it cannot be removed.
    """
    with _writing(folder, {}):
        for left_over in folder.glob(f"{TEMPORARY}*"):
            _remove(left_over)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Be the one writer of `folder`, which is made where missing; the holder may lock it again.

    The lock ends with its process, however that ends. Raises StorageError where another process or thread holds it.
    """
    name, this = os.path.realpath(folder), (os.getpid(), threading.get_ident())
    if _holders.get(name) == this:
        yield
        return
    with _writing(folder, {}):
        _make_folder(folder)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with _writing(folder, {}):
            _take(lock, folder)
        _holders[name] = this
        try:
            yield
        finally:
            del _holders[name]
    finally:
        os.close(lock)


def read_folder(folder: Path, *, allowed: Mapping[str, int]) -> dict[str, bytes]:
    """The files that the manifest of `folder` lists, by name, each byte checked against its hash.

    `allowed` gives the names that may be listed, with the largest size of each in bytes. Files beside the manifest are
    never opened; which of the allowed names must be there is the caller's to check.
    Raises BundleError, naming the file, where anything is missing, damaged, foreign or newer than this version.
    """
    doubts = 0
    for _ in range(READS_WHILE_CHANGING):
        before = _generation(folder)
        try:
            return _read_listed(folder / NEXT if os.path.lexists(folder / NEXT) else folder, allowed)
        except BundleError:
            # A writer that moves on looks like damage; damage stays, and is seen twice before it is believed.
            doubts = doubts + 1 if _generation(folder) == before else 0
            if doubts > 1:
                raise
            time.sleep(0.02)  # several generations may share one tick of the clock that stamps files
    raise BundleError(f"{folder} is being written again and again. Read it when its writer has come to rest.")


def strict_json(data: bytes, *, name: str) -> Any:
    """What `parse_json` reads. Raises BundleError, beginning with `name`, for anything else."""
    try:
        return parse_json(data)
    except ValueError as error:
        raise BundleError(f"{name} is not valid JSON: {error}. {AGAIN}") from None


# Writing


@contextlib.contextmanager
def _writing(path: Path, files: Mapping[str, bytes]) -> Iterator[None]:
    """Say in words what the system refused while `files` were written to `path`."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        needed = f" ({sum(map(len, files.values())):,} bytes needed)" if files else ""
        advice = "Choose another folder."
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "Free some space or choose another folder."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "Ask for the right to write there or choose another folder."
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(f"cannot write {path}{needed}: {reason}. {advice} What is there stays whole.") from error


def _make_folder(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync_folder(made.parent)


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, data in {**files, MANIFEST: _manifest(files)}.items():
        _write(folder / name, data)
    _sync_folder(folder)
    try:
        _read_listed(folder, {name: len(data) for name, data in files.items()})
    except BundleError as error:
        raise StorageError(f"{folder} cannot be read back as it was written. Is the disk failing? ({error})") from error


def _manifest(files: Mapping[str, bytes]) -> bytes:
    for name in files:
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise ValueError(f"{name!r} cannot be a file name here: letters, digits, '.', '_', '-', 64 at most")
    listed = {name: _Entry(_sha256(data), len(data))._asdict() for name, data in files.items()}
    return json.dumps({"format": FORMAT, "files": listed}, indent=1).encode("utf-8")


def _put_into_place(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in {**files, MANIFEST: _manifest(files)}.items():
        _replace(folder / name, data)
    _sync_folder(folder)


def _replace(path: Path, data: bytes) -> None:
    temporary = _temporary(path.parent)
    try:
        _write(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _temporary(folder: Path) -> Path:
    return folder / f"{TEMPORARY}{secrets.token_hex(8)}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 200, 0).decode("utf-8", "replace").strip()
        raise StorageError(
            f"{folder} is being written by {holder or 'another process'}. Wait for its end, or choose another folder."
        ) from None
    os.ftruncate(lock, os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0))


# Reading


def _generation(folder: Path) -> tuple[tuple[int, int] | None, ...]:
    """Differs whenever a writer has moved on in between."""
    return tuple(_stamp(folder / name) for name in (NEXT, MANIFEST))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read_listed(folder: Path, allowed: Mapping[str, int] | None) -> dict[str, bytes]:
    """The files that the manifest lists, opened by name in one open folder; `allowed` None: any name, any size."""
    links = os.O_NOFOLLOW if folder.name == NEXT else 0
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | links)
    except FileNotFoundError:
        raise BundleError(f"{folder} does not exist. Check the path, or train a model into it.") from None
    except OSError as error:
        raise BundleError(f"{folder} cannot be read: {error.strerror}. Give the folder of a model.") from None
    try:
        manifest = _read_file(directory, folder / MANIFEST, limit=MANIFEST_LIMIT)
        entries = _parse_manifest(manifest, path=folder / MANIFEST, allowed=allowed)
        return {name: _read_entry(directory, folder / name, entry) for name, entry in entries.items()}
    finally:
        os.close(directory)


def _read_entry(directory: int, path: Path, entry: _Entry) -> bytes:
    data = _read_file(directory, path, limit=entry.size)
    if len(data) < entry.size:
        raise BundleError(f"{path} is cut short: {len(data):,} bytes of {entry.size:,} are there. {AGAIN}")
    if _sha256(data) != entry.sha256:
        raise BundleError(f"{path} is not the file that was saved: its sha256 is not the one in {MANIFEST}. {AGAIN}")
    return data


def _read_file(directory: int, path: Path, *, limit: int) -> bytes:
    """At most `limit` bytes of a regular file; links are not followed, and nothing blocks or is allocated before."""
    try:
        opened = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        raise BundleError(f"{path} is missing. {AGAIN}") from None
    except OSError as error:
        what = "is a link" if error.errno == errno.ELOOP else f"cannot be opened: {error.strerror}"
        raise BundleError(f"{path} {what}. A model holds regular files only. {AGAIN}") from None
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise BundleError(f"{path} is not a regular file. {AGAIN}")
        if found.st_size > limit:
            raise BundleError(f"{path} has {found.st_size:,} bytes, but {limit:,} at most belong there. {AGAIN}")
        with os.fdopen(opened, "rb", closefd=False) as file:
            return file.read(found.st_size)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}. {AGAIN}") from None
    finally:
        os.close(opened)


def _parse_manifest(data: bytes, *, path: Path, allowed: Mapping[str, int] | None) -> dict[str, _Entry]:
    manifest = strict_json(data, name=str(path))
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if type(version) is int and version > FORMAT:
        raise BundleError(
            f"{path.parent} has format {version}, written by a newer seqloom; this one reads up to {FORMAT}. "
            f"Update it: pip install --upgrade seqloom"
        )
    if type(version) is not int or version < 1 or set(manifest) != {"format", "files"}:
        raise BundleError(f'{path} is no manifest: it must hold "format" (a whole number) and "files". {AGAIN}')
    if not isinstance(manifest["files"], dict):
        raise BundleError(f'{path}: "files" must map names to hashes and sizes. {AGAIN}')
    return {name: _parse_entry(name, value, path, allowed) for name, value in manifest["files"].items()}


def _parse_entry(name: str, value: Any, path: Path, allowed: Mapping[str, int] | None) -> _Entry:
    if not _NAME.fullmatch(name) or name == MANIFEST or (allowed is not None and name not in allowed):
        raise BundleError(f"{path} lists {name[:80]!r}, which does not belong there. {AGAIN}")
    match value:
        case {"sha256": str(sha256), "size": int(size)} if len(value) == 2 and type(size) is int and size >= 0:
            entry = _Entry(sha256, size)
        case _:
            raise BundleError(f"{path}: the entry of {name} must be a sha256 and a size in bytes. {AGAIN}")
    if allowed is not None and size > allowed[name]:
        raise BundleError(f"{path}: {name} has {size:,} bytes, but {allowed[name]:,} at most are allowed. {AGAIN}")
    return entry


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
