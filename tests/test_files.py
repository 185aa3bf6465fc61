"""The proof of durable folders: killed, refused or starved at every step, a reader finds the old or the new, whole."""

import errno
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.errors import BundleError, StorageError
from seqloom.files import (
    lock_folder,
    read_folder,
    remove_folder,
    remove_temporaries,
    replace_folder,
    strict_json,
    write_file,
    write_folder,
)

ALLOWED = {"config.json": 1000, "weights.safetensors": 100_000, "README.md": 1000}
OLD = {"config.json": b'{"old": 1}', "weights.safetensors": bytes(range(256)) * 20}
NEW = {"config.json": b'{"new": 22}', "weights.safetensors": bytes(reversed(range(256))) * 30, "README.md": b"# new"}
NEWEST = {"config.json": b'{"newest": 333}', "weights.safetensors": b"n" * 3000, "README.md": b"# newest"}
MOST_STEPS = 200


def read(folder: Path) -> dict[str, bytes]:
    return read_folder(folder, allowed=ALLOWED)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def temporaries(folder: Path) -> list[Path]:
    return list(folder.glob(".part-*"))


def path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


class Outcome(NamedTuple):
    end: str  # "done", "killed" or "refused"
    at: str  # the system call that was hit
    message: str


def in_child(action: Callable[[], object]) -> tuple[int, Any]:
    """Run `action` in a forked process; its exit code, and what it returned (by way of JSON)."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        code = 1
        try:
            os.close(reader)
            answer = json.dumps(action()).encode()
            os.write(writer, answer)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, json.loads(answer) if answer else None


def with_fault(action: Callable[[], object], *, step: int, fault: int | None) -> Outcome:
    """Run `action` in a child that is killed (`fault` None) or meets the error `fault` at its system call `step`."""
    watched = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.scandir", "fcntl.flock"}

    def child() -> Outcome:
        seen = 0
        hit = ""

        def meet(event: str, descriptor: int | None = None) -> None:
            nonlocal seen, hit
            seen += 1
            if seen != step:
                return
            hit = event
            if fault is not None:
                raise OSError(fault, os.strerror(fault))
            if descriptor is not None and event == "fsync file":
                real_truncate(descriptor, os.fstat(descriptor).st_size // 2)  # what was not synced may be lost
            os._exit(77)

        def fsync(descriptor: int) -> None:
            meet("fsync folder" if path_of(descriptor).is_dir() else "fsync file", descriptor)
            real_fsync(descriptor)

        real_fsync, real_truncate = os.fsync, os.ftruncate
        os.fsync = fsync
        sys.addaudithook(lambda event, _: meet(event) if event in watched else None)
        try:
            action()
        except StorageError as error:
            return Outcome("refused", hit, str(error))
        return Outcome("done", hit, "")

    code, answer = in_child(child)
    if code == 77:
        return Outcome("killed", "", "")
    assert code == 0, "the child met something that is no StorageError"
    return Outcome(*answer)


# Which steps meet a fault. In the short run it is one in three, in turn for the three faults, so that between them no
# step goes without; the long run has each fault at each step.
FAULTS = [None, errno.ENOSPC, errno.EIO]
FAULTS_AT = [
    *(pytest.param(fault, range(1 + turn, MOST_STEPS, 3), id=f"{fault}") for turn, fault in enumerate(FAULTS)),
    *(pytest.param(fault, range(1, MOST_STEPS), id=f"{fault}-each", marks=pytest.mark.long) for fault in FAULTS),
]


def with_faults(
    prepare: Callable[[], object], action: Callable[[], object], fault: int | None, steps: range
) -> Iterator[Outcome]:
    """The outcome of a fault at each of `steps`, each from a fresh start, until a run passes with no hit."""
    for step in steps:
        prepare()
        outcome = with_fault(action, step=step, fault=fault)
        if outcome.end == "done" and not outcome.at:
            assert step > 10, "the faults were not met"
            return
        yield outcome
    pytest.fail(f"still going after {MOST_STEPS} steps")


def fresh(tmp_path: Path, generations: list[dict[str, bytes]]) -> tuple[Callable[[], None], Callable[[], Path]]:
    """`prepare` makes a new folder that was replaced by each of `generations` in turn; `folder` is the newest."""
    made: list[Path] = []

    def prepare() -> None:
        made.append(tmp_path / f"{len(made)}" / "model")
        made[-1].parent.mkdir()
        for generation in generations:
            replace_folder(made[-1], generation)

    return prepare, lambda: made[-1]


# Written is what is read


@settings(max_examples=25, deadline=None)
@given(files=st.dictionaries(st.sampled_from(sorted(ALLOWED)), st.binary(max_size=900)))
def test_what_is_read_is_what_was_written_and_the_manifest_says_so(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("whole") / "model"
    write_folder(folder, files)
    assert read(folder) == files
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    assert json.loads((folder / "manifest.json").read_bytes()) == {"format": 1, "files": listed}
    assert names(folder) == sorted([*files, "manifest.json"])


def test_replacing_leaves_foreign_files_alone_and_drops_nothing_of_the_new(tmp_path):
    replace_folder(tmp_path, NEW)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    replace_folder(tmp_path, OLD)
    assert read(tmp_path) == OLD
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "checkpoints").is_dir()
    assert (tmp_path / "config.json").read_bytes() == OLD["config.json"]
    assert not (tmp_path / ".next").exists()


def test_a_new_folder_never_overwrites(tmp_path):
    write_folder(tmp_path / "model", OLD)
    with pytest.raises(
        StorageError, match=r"model exists already, and only a new folder is written. Give another name"
    ):
        write_folder(tmp_path / "model", NEW)
    assert read(tmp_path / "model") == OLD
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".next", "manifest.json", "x" * 65, "nul\0"])
def test_a_name_that_a_reader_would_refuse_is_never_written(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be a file name here"):
        write_folder(tmp_path / "model", {name: b""})
    assert names(tmp_path) == []


# Kills, refusals, full disks


@pytest.mark.parametrize(("fault", "steps"), FAULTS_AT)
def test_a_fault_at_any_step_of_a_new_folder_leaves_it_whole_or_absent(tmp_path, fault, steps):
    prepare, folder = fresh(tmp_path, [])
    there = []
    for outcome in with_faults(prepare, lambda: write_folder(folder(), NEW), fault, steps):
        found = folder().exists()
        if found:
            assert read(folder()) == NEW
        if outcome.end != "done":  # pathlib forgives an mkdir of what is there
            there.append(found)
        if outcome.end == "refused":
            assert (
                f"cannot write {folder()} (7,696 bytes needed): " in outcome.message or "read back" in outcome.message
            )
            assert not temporaries(folder().parent)
        remove_temporaries(folder().parent)
        if not found:
            write_folder(folder(), OLD)
    assert there == sorted(there)


@pytest.mark.parametrize(("fault", "steps"), FAULTS_AT)
@pytest.mark.parametrize("before", [[], [OLD]], ids=["first save", "second save"])
def test_a_fault_at_any_step_of_replacing_leaves_the_old_or_the_new(tmp_path, before, fault, steps):
    prepare, folder = fresh(tmp_path, before)
    new = []
    for outcome in with_faults(prepare, lambda: replace_folder(folder(), NEW), fault, steps):
        if before or (folder() / ".next").exists() or (folder() / "manifest.json").exists():
            found = read(folder())
            assert found in (OLD, NEW)
            if outcome.end != "done":  # pathlib forgives an mkdir of what is there
                new.append(found == NEW)
        if outcome.end == "refused":
            assert "cannot write " in outcome.message or "cannot be read back" in outcome.message
            assert not temporaries(folder()) or new[-1]
        replace_folder(folder(), NEWEST)
        assert read(folder()) == NEWEST
        assert not temporaries(folder())
        assert not (folder() / ".next").exists()
    assert new == sorted(new), "once the new was read, the old came back"
    assert True in new


@pytest.mark.parametrize("steps", [range(1, MOST_STEPS, 3), pytest.param(range(1, MOST_STEPS), marks=pytest.mark.long)])
def test_a_kill_while_the_left_over_of_a_kill_is_finished_never_brings_the_old_back(tmp_path, steps):
    prepare_old, folder = fresh(tmp_path, [OLD])

    def prepare() -> None:
        prepare_old()
        write_folder(folder() / ".next", NEW)
        write_file(folder() / "config.json", NEW["config.json"])  # killed when one file of three was in place
        assert read(folder()) == NEW

    newest = []
    for _ in with_faults(prepare, lambda: replace_folder(folder(), NEWEST), None, steps):
        found = read(folder())
        assert found in (NEW, NEWEST)
        newest.append(found == NEWEST)
    assert newest == sorted(newest)
    assert True in newest


def test_nothing_is_named_before_it_is_on_the_disk(tmp_path, monkeypatch):
    """Power may go at any time: a rename moves only what was synced, and is synced before the next removal."""
    replace_folder(tmp_path / "model", OLD)
    synced: set[int] = set()
    unsynced_folders: set[Path] = set()
    renamed: list[str] = []
    fsync, rename = os.fsync, os.rename

    def recording_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)
        unsynced_folders.discard(path_of(descriptor))

    def checking_rename(source: Path, target: Path) -> None:
        removal = target.name.startswith(".part-")
        if removal:
            assert not unsynced_folders, "the committed set is removed before its copies are durable"
        else:
            inside = [source, *source.iterdir()] if source.is_dir() else [source]
            assert all(path.stat().st_ino in synced for path in inside), f"{target} was not synced before"
            if renamed == [".next"]:
                assert not unsynced_folders, "files are replaced before the commit is durable"
            renamed.append(target.name)
        rename(source, target)
        if not removal:
            unsynced_folders.add(target.parent)

    for function in ("rename", "replace"):
        monkeypatch.setattr(os, function, checking_rename)
    monkeypatch.setattr(os, "fsync", recording_fsync)
    replace_folder(tmp_path / "model", NEW)
    assert renamed == [".next", *NEW, "manifest.json"]
    assert not unsynced_folders
    monkeypatch.undo()
    assert read(tmp_path / "model") == NEW


def test_a_file_over_the_size_limit_of_the_process_is_refused_with_path_and_bytes(tmp_path):
    replace_folder(tmp_path, OLD)

    def starved() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
        with pytest.raises(StorageError) as refused:
            replace_folder(tmp_path, NEW)
        return str(refused.value)

    code, message = in_child(starved)
    assert code == 0
    assert message == (
        f"cannot write {tmp_path}/.next (7,696 bytes needed): File too large. "
        "Free some space or choose another folder. What is there stays whole."
    )
    assert read(tmp_path) == OLD
    assert not temporaries(tmp_path)


def test_a_full_disk_is_refused_and_what_was_there_is_whole(tmp_path, monkeypatch):
    replace_folder(tmp_path, OLD)
    write_file(tmp_path / "latest", b"old")
    real = Path.open

    def open_on_full_disk(path: Path, mode: str) -> IO[Any]:
        real(path, mode).close()
        return real(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    with pytest.raises(StorageError, match=r"No space left on device. Free some space"):
        replace_folder(tmp_path, NEW)
    with pytest.raises(StorageError, match=r"latest \(3 bytes needed\): No space left on device"):
        write_file(tmp_path / "latest", b"new")
    monkeypatch.undo()
    assert read(tmp_path) == OLD
    assert (tmp_path / "latest").read_bytes() == b"old"
    assert not temporaries(tmp_path)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_forbidden_folder_is_said_so(tmp_path, monkeypatch, code):
    def forbidden(path: Path, mode: int = 0o777) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "mkdir", forbidden)
    with pytest.raises(StorageError, match=rf"{os.strerror(code)}. Ask for the right to write there or choose another"):
        write_folder(tmp_path / "model", NEW)


def test_a_file_in_place_of_a_parent_folder_is_said_so(tmp_path):
    (tmp_path / "file").touch()
    for write in (write_folder, replace_folder):
        with pytest.raises(StorageError, match=r"cannot write .*(Not a directory|File exists). Choose another folder"):
            write(tmp_path / "file" / "model", NEW)


def test_a_disk_that_returns_other_bytes_is_noticed_before_the_old_goes(tmp_path, monkeypatch):
    replace_folder(tmp_path, OLD)
    real = os.fsync

    def lying_disk(descriptor: int) -> None:
        real(descriptor)
        path = path_of(descriptor)
        if path.name == "weights.safetensors":
            path.write_bytes(b"X" + path.read_bytes()[1:])

    monkeypatch.setattr(os, "fsync", lying_disk)
    with pytest.raises(StorageError, match=r"cannot be read back as it was written. Is the disk failing\?"):
        replace_folder(tmp_path, NEW)
    assert read(tmp_path) == OLD


def test_a_damaged_left_over_does_not_stop_the_next_save(tmp_path):
    replace_folder(tmp_path, OLD)
    write_folder(tmp_path / ".next", NEW)
    (tmp_path / ".next" / "config.json").write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r"\.next/config.json"):
        read(tmp_path)
    replace_folder(tmp_path, NEWEST)
    assert read(tmp_path) == NEWEST


def test_a_removed_folder_is_gone_at_once(tmp_path):
    write_folder(tmp_path / "model", OLD)
    remove_folder(tmp_path / "model")
    assert names(tmp_path) == []
    with pytest.raises(StorageError, match="model: No such file or directory"):
        remove_folder(tmp_path / "model")


# Readers and writers at once


def test_a_reader_racing_with_saves_only_ever_sees_whole_generations_in_order(tmp_path):
    def generation(number: int) -> dict[str, bytes]:
        return {"config.json": b"%d" % number, "weights.safetensors": b"%d" % number * 9000}

    replace_folder(tmp_path, generation(0))
    end = time.monotonic() + 1.5

    def save_again_and_again() -> int:
        saved = 0
        while time.monotonic() < end:
            saved += 1
            replace_folder(tmp_path, generation(saved))
        return saved

    counted: list[int] = []
    writer = threading.Thread(target=lambda: counted.append(in_child(save_again_and_again)[1]))
    writer.start()
    seen = []
    while writer.is_alive():
        found = read(tmp_path)
        seen.append(int(found["config.json"]))
        assert found == generation(seen[-1])
    writer.join()
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    assert read(tmp_path) == generation(counted[0])


def test_damage_that_is_gone_at_a_second_look_was_none(tmp_path, monkeypatch):
    replace_folder(tmp_path, NEW)
    looks: list[int] = []
    opened = os.open

    def missing_once(path, *arguments, **options):
        if str(path) == "weights.safetensors" and not looks.append(0) and len(looks) == 1:
            raise FileNotFoundError(path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", missing_once)
    assert read(tmp_path) == NEW
    assert len(looks) == 2


def test_a_second_process_is_refused_and_told_who_writes(tmp_path):
    def intrude() -> str:
        with pytest.raises(StorageError) as refused, lock_folder(tmp_path):
            pass
        return str(refused.value)

    with lock_folder(tmp_path):
        code, message = in_child(intrude)
        assert code == 0
        assert message.startswith(f"{tmp_path} is being written by process {os.getpid()} on ")
        assert message.endswith("Wait for its end, or choose another folder.")
        replace_folder(tmp_path, NEW)  # the holder itself may write
    assert in_child(lambda: replace_folder(tmp_path, OLD)) == (0, None)


def test_a_second_thread_is_refused(tmp_path):
    refused = []

    def intrude() -> None:
        try:
            replace_folder(tmp_path, OLD)
        except StorageError as error:
            refused.append(str(error))

    with lock_folder(tmp_path):
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert not (tmp_path / "config.json").exists()


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path):
    def die_holding_it() -> None:
        with lock_folder(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(die_holding_it)[0] == -signal.SIGKILL
    assert (tmp_path / ".lock").read_text().startswith("process ")
    with lock_folder(tmp_path):
        pass


def test_racing_writers_each_win_whole_or_are_refused(tmp_path):
    contents = [{"config.json": b"%d" % n, "weights.safetensors": b"%d" % n * 5000} for n in range(4)]

    def race(n: int) -> list[bool]:
        won = []
        for _ in range(10):
            try:
                replace_folder(tmp_path, contents[n])
                won.append(True)
            except StorageError as error:
                assert "is being written by " in str(error)
                won.append(False)
        return won

    results: list[tuple[int, Any]] = []
    threads = [threading.Thread(target=lambda n=n: results.append(in_child(lambda: race(n)))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [code for code, _ in results] == [0] * 4
    won = [each for _, answer in results for each in answer]
    assert any(won)
    assert read(tmp_path) in contents
    assert not temporaries(tmp_path)


# Damage


SMALL = {"config.json": b'{"format": 1, "size": 3}', "weights.safetensors": bytes(range(40)), "README.md": b"# small\n"}


def overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b" if path.exists() else "wb") as file:  # in place: much faster than anew
        file.write(data)
        file.truncate()


def damaged(folder: Path, name: str, data: bytes) -> str:
    overwrite(folder / name, data)
    with pytest.raises(BundleError) as found:
        read(folder)
    return str(found.value)


@pytest.mark.long
def test_every_single_bit_flip_is_noticed(tmp_path):
    write_folder(tmp_path / "model", SMALL)
    folder, dice = tmp_path / "model", random.Random(0)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    bits = [(name, bit) for name, data in whole.items() for bit in range(8 * len(data))]
    assert len(bits) > 2000
    for name, bit in dice.sample(bits, 2000):
        flipped = bytearray(whole[name])
        flipped[bit // 8] ^= 1 << bit % 8
        message = damaged(folder, name, bytes(flipped))
        assert str(folder) in message
        overwrite(folder / name, whole[name])
    assert read(folder) == SMALL


@pytest.mark.parametrize("apart", [7, pytest.param(1, marks=pytest.mark.long)])
def test_every_truncation_and_every_addition_is_noticed(tmp_path, apart):
    write_folder(tmp_path / "model", SMALL)
    folder = tmp_path / "model"
    for name in [*SMALL, "manifest.json"]:
        whole = (folder / name).read_bytes()
        for length in {*range(0, len(whole), apart), len(whole) - 1}:
            message = damaged(folder, name, whole[:length])
            assert str(folder / name) in message
            assert "Copy the model again or train it again." in message
        assert str(folder / name) in damaged(folder, name, whole + b"x")
        (folder / name).write_bytes(whole)
    assert read(folder) == SMALL


def test_each_kind_of_damage_is_one_clear_line(tmp_path):
    folder = tmp_path / "model"
    again = "Copy the model again or train it again."
    write_folder(folder, SMALL)
    weights = folder / "weights.safetensors"
    pickled = (
        b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85"
    )
    assert damaged(folder, weights.name, pickled.ljust(40, b".")) == (
        f"{weights} is not the file that was saved: its sha256 is not the one in manifest.json. {again}"
    )
    assert damaged(folder, weights.name, pickled[:39]) == (
        f"{weights} is cut short: {len(pickled[:39])} bytes of 40 are there. {again}"
    )
    assert damaged(folder, weights.name, bytes(41)) == (f"{weights} has 41 bytes, but 40 at most belong there. {again}")
    weights.unlink()
    with pytest.raises(BundleError, match=r"weights.safetensors is missing. Copy the model again"):
        read(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(BundleError, match=r"manifest.json is missing. Copy the model again"):
        read(folder)
    with pytest.raises(BundleError, match=r"nowhere does not exist. Check the path, or train a model into it"):
        read(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match=r"file cannot be read: Not a directory. Give the folder of a model"):
        read(tmp_path / "file")


def test_files_beside_the_manifest_are_never_opened(tmp_path):
    write_folder(tmp_path / "model", SMALL)
    os.mkfifo(tmp_path / "model" / "weights.pt")  # opening it would wait for ever
    (tmp_path / "model" / "run.py").write_text("raise SystemExit('run')")
    assert read(tmp_path / "model") == SMALL


def replace_by_link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json"])
@pytest.mark.parametrize(
    ("swap", "complaint"),
    [
        (replace_by_link, "is a link. A model holds regular files only"),
        (replace_by_folder, "is not a regular file"),
        (replace_by_fifo, "is not a regular file"),
        (replace_by_terabyte, r"has 1,099,511,627,776 bytes, but [\d,]+ at most belong there"),
    ],
)
def test_what_is_no_regular_file_of_the_right_size_is_refused_unread(tmp_path, name, swap, complaint):
    write_folder(tmp_path / "model", SMALL)
    swap(tmp_path / "model" / name)
    with pytest.raises(BundleError, match=complaint) as found:
        read(tmp_path / "model")
    assert str(tmp_path / "model" / name) in str(found.value)


def test_a_linked_left_over_is_not_followed(tmp_path):
    write_folder(tmp_path / "model", SMALL)
    write_folder(tmp_path / "other", NEW)
    (tmp_path / "model" / ".next").symlink_to(tmp_path / "other")
    with pytest.raises(BundleError, match=r"\.next cannot be read: Not a directory"):
        read(tmp_path / "model")


def manifest_with(**changes: Any) -> dict[str, Any]:
    entry = {"sha256": hashlib.sha256(b"{}").hexdigest(), "size": 2}
    return {"format": 1, "files": {"config.json": entry}} | changes


def entry_with(**changes: Any) -> dict[str, Any]:
    return manifest_with(files={"config.json": manifest_with()["files"]["config.json"] | changes})


def named(name: str) -> dict[str, Any]:
    return manifest_with(files={name: manifest_with()["files"]["config.json"]})


HOSTILE_NAMES = [
    "../config.json", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "%2e%2e%2fx", "config.json\0", "config.json ",
    "CONFIG.JSON", "manifest.json", ".next", ".lock", "CON", "\\\\host\\share", "x" * 5000, "weights.pt", "cönfig.json",
]  # fmt: skip


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        (manifest_with(format=2), "has format 2, written by a newer seqloom; this one reads up to 1. Update it: pip"),
        (manifest_with(format=10**30), "written by a newer seqloom"),
        *((manifest_with(format=value), "is no manifest") for value in (0, -1, 1.0, True, "1", None, [1])),
        *((value, "is no manifest") for value in ([], "manifest", 1, None, {}, manifest_with(extra=1))),
        *((manifest_with(files=value), '"files" must map names') for value in ([], None, "config.json")),
        *((entry_with(size=value), "must be a sha256 and a size") for value in (-1, True, 2.0, "2", None)),
        *((entry_with(sha256=value), "must be a sha256 and a size") for value in (None, 1, [])),
        (entry_with(path="/etc/passwd"), "must be a sha256 and a size"),
        (manifest_with(files={"config.json": None}), "must be a sha256 and a size"),
        (entry_with(sha256="0" * 63), "is not the file that was saved"),
        (entry_with(size=1001), "config.json has 1,001 bytes, but 1,000 at most are allowed"),
        (entry_with(size=1 << 63), "at most are allowed"),
        *((named(name), "which does not belong there") for name in HOSTILE_NAMES),
    ],
)
def test_a_manifest_that_lies_is_refused(tmp_path, manifest, complaint):
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest_with()))
    assert read(tmp_path) == {"config.json": b"{}"}
    message = damaged(tmp_path, "manifest.json", json.dumps(manifest).encode())
    assert complaint in message
    assert len(message.splitlines()) == 1
    assert len(message) < 500 + len(str(tmp_path))


def test_a_huge_manifest_is_refused_unread(tmp_path):
    assert "has 70,000 bytes, but 65,536 at most" in damaged(tmp_path, "manifest.json", b" " * 70_000)


# JSON

unicode_text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | unicode_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(unicode_text, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(value=json_values, ascii_only=st.booleans())
def test_strict_json_reads_all_json_that_means_one_thing(value, ascii_only):
    assert strict_json(json.dumps(value, ensure_ascii=ascii_only).encode(), name="x") == value


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b'{"a": 1, "a": 1}', "the key 'a' is there twice"),
        (b'[{"b": {"a": 1, "c": 0, "a": 2}}]', "the key 'a' is there twice"),
        (b"NaN", "NaN is not a finite number"),
        (b"[-Infinity]", "-Infinity is not a finite number"),
        (b"[1e999]", "1e999 is not a finite number"),
        (b"[" * 33 + b"]" * 33, "nested more than 32 deep"),
        (b"[" * 100_000, "nested more than 32 deep"),
        (b'{"a":' * 100_000, "nested more than 32 deep"),
        (b"9" * 5000, "Exceeds the limit"),
        (b'"\\ud800"', "surrogates not allowed"),
        (b'{"\\udfff": 1}', "surrogates not allowed"),
        (b"\xff", "can't decode byte"),
        (b'"\xed\xa0\x80"', "can't decode byte"),
        ('{"a": 1}'.encode("utf-16"), "can't decode byte"),
        (b"\xef\xbb\xbf{}", "Unexpected UTF-8 BOM"),
        (b"", "Expecting value"),
        (b"{} {}", "Extra data"),
        (b'"' + b'\\"' * 100_000, "Unterminated string"),
    ],
)
def test_strict_json_refuses_what_json_only_tolerates(data, complaint):
    with pytest.raises(BundleError) as refused:
        strict_json(data, name="config.json")
    assert str(refused.value).startswith("config.json is not valid JSON: ")
    assert complaint in str(refused.value)


def test_brackets_inside_strings_are_not_depth():
    assert strict_json(b'["' + b"[{" * 100 + b'\\"[["]', name="x") == ["[{" * 100 + '"[[']
    assert strict_json(b"[" * 32 + b"]" * 32, name="x")


# Nothing else is touched


def test_reading_opens_its_own_files_only_and_imports_nothing(tmp_path):
    write_folder(tmp_path / "model", SMALL)
    script = f"""
import sys
from pathlib import Path
from seqloom.files import read_folder
assert "torch" not in sys.modules
seen = []
folder = Path({str(tmp_path / "model")!r})
sys.addaudithook(lambda event, arguments: seen.append((event, str(arguments[0]) if arguments else "")))
files = read_folder(folder, allowed={ALLOWED!r})
seen = list(seen)
for event, first in seen:
    print(event, first)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = set(result.stdout.splitlines())
    opened = {line.removeprefix("open ") for line in lines if line.startswith("open ")}
    descriptors = {name for name in opened if name.isdigit()}
    assert opened - descriptors == {str(tmp_path / "model"), "manifest.json", *SMALL}
    assert {line.partition(" ")[0] for line in lines} == {"open"}
