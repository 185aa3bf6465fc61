"""The proof of exact, durable checkpoints: the same to the last bit, and a whole one wherever a save is killed."""

import errno
import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from seqloom.errors import BundleError, SeqloomError, StorageError, TrainingError
from seqloom.files import write_folder
from seqloom.training.checkpoints import GROUPS, Checkpoint, load_latest, save_checkpoint

MOST_STEPS = 300


def checkpoint(n: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(n)
    weights = {"lstm.weight": torch.randn(4, 3, generator=generator), "lstm.bias": torch.randn(4, generator=generator)}
    optimizer = {
        "lstm.weight.exp_avg": torch.randn(4, 3, generator=generator),
        "lstm.weight.step": torch.tensor(float(n)),
    }
    return Checkpoint({"weights": weights, "optimizer": optimizer}, {"step": n, "history": [{"loss": 0.1 + n}]})


def save(run: Path, n: int, **options: Any) -> Path:
    return save_checkpoint(run, checkpoint(n), step=n, **options)


def loaded(run: Path) -> Checkpoint:
    found = load_latest(run)
    assert found is not None
    return found


def bits(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    assert found.state == expected.state
    assert found.tensors.keys() == expected.tensors.keys()
    for group, tensors in expected.tensors.items():
        assert found.tensors[group].keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert bits(found.tensors[group][name]) == bits(tensor), f"{group}: {name}"


def steps(run: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def with_fault(action: Callable[[], object], *, step: int, fault: int | None) -> str:
    """Run `action` in a child that is killed (`fault` None) or meets the error `fault` at its system call `step`."""
    watched = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir"}
    seen = 0

    def meet(event: str) -> None:
        nonlocal seen
        seen += event in watched
        if seen == step and event in watched:
            if fault is None:
                os._exit(77)
            raise OSError(fault, os.strerror(fault))

    if (child := os.fork()) == 0:
        code = 1
        try:
            sys.addaudithook(lambda event, _: meet(event))
            action()
            code = 0 if seen < step else 3
        except StorageError:
            code = 2
        finally:
            os._exit(code)
    ends = {0: "untouched", 2: "refused", 3: "done", 77: "killed"}
    return ends[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


# Exactness


def test_every_dtype_shape_and_layout_comes_back_to_the_bit(tmp_path):
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(5, 4, generator=generator)
    tied = base[1:3]
    floats = {str(dtype): base.to(dtype) for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)}
    weights = floats | {
        "transposed": base.T,
        "strided": base[::2, 1:],
        "expanded": base[:1].expand(3, 4),
        "tied": tied,
        "tied too": tied,
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 7),
        "denormal": torch.tensor([1e-45, -0.0, 0.0, 3e38]),
        "parameter": torch.nn.Parameter(base * 2),
        "complex": torch.complex(base, -base),
    }
    random_state = {
        "torch": torch.get_rng_state(),
        "flags": torch.tensor([True, False]),
        "seed": torch.tensor(2**62 + 1),
    }
    state = {
        "step": 7,
        "rate": 0.1 + 0.2,
        "tiny": 5e-324,
        "big": 2**62 + 1,
        "text": "é\u2028☃ 𝄞",
        "none": None,
        "no": False,
    }
    saved = Checkpoint({"weights": weights, "average": random_state, "optimizer": {}}, state)
    save_checkpoint(tmp_path, saved, step=7)
    detached = {group: {k: v.detach() for k, v in named.items()} for group, named in saved.tensors.items()}
    assert_same(loaded(tmp_path), Checkpoint(detached, state))


def test_an_optimizer_resumed_from_a_checkpoint_goes_on_to_the_same_bits(tmp_path):
    def train(weight: Tensor, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            (weight.sin() ** 2).sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    weight = torch.randn(6, 5, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=0.01)
    train(weight, optimizer, 3)
    moments = optimizer.state_dict()["state"][0]
    save_checkpoint(tmp_path, Checkpoint({"weights": {"w": weight}, "optimizer": moments}, {}), step=3)
    train(weight, optimizer, 4)  # a copy was saved: these steps must not reach it

    found = loaded(tmp_path)
    resumed = found.tensors["weights"]["w"].requires_grad_()
    resumed_optimizer = torch.optim.AdamW([resumed], lr=0.01)
    state = resumed_optimizer.state_dict() | {"state": {0: found.tensors["optimizer"]}}
    resumed_optimizer.load_state_dict(state)
    train(resumed, resumed_optimizer, 4)
    assert torch.equal(resumed, weight)


# What may not be saved


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("group", GROUPS)
def test_a_non_finite_tensor_never_reaches_the_disk(tmp_path, group, dtype, value):
    save(tmp_path, 1)
    bad = torch.ones(3, 4).to(dtype)
    bad[2, 3] = value
    with pytest.raises(TrainingError) as refused:
        save_checkpoint(tmp_path, Checkpoint({group: {"fine": torch.ones(2), "gru.weight": bad}}, {}), step=2)
    assert str(refused.value).startswith(f"{group}: gru.weight holds a NaN or an infinity, and no checkpoint is saved")
    assert "lower learning rate" in str(refused.value)
    assert steps(tmp_path) == [1]
    assert_same(loaded(tmp_path), checkpoint(1))


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_a_state_that_json_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(TrainingError, match="the state of the training is not plain JSON"):
        save_checkpoint(tmp_path, Checkpoint({}, {"loss": value}), step=1)
    assert load_latest(tmp_path) is None


def test_an_unknown_group_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'\.\./weights' is no group of tensors, allowed: weights, best"):
        save_checkpoint(tmp_path, Checkpoint({"../weights": {}}, {}), step=1)


# Which one is kept, which one is loaded


def test_no_run_and_no_checkpoint_is_none(tmp_path):
    assert load_latest(tmp_path / "nowhere") is None
    (tmp_path / "checkpoints").mkdir()
    assert load_latest(tmp_path) is None


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept_by_number_not_by_name(tmp_path, keep):
    for n in (1, 99_999_999, 100_000_000, 1_000_000_000):
        save(tmp_path, n, keep=keep)
    assert steps(tmp_path) == [1, 99_999_999, 100_000_000, 1_000_000_000][-keep:]
    assert_same(loaded(tmp_path), checkpoint(1_000_000_000))


def test_a_step_saved_again_is_the_one_loaded(tmp_path):
    save(tmp_path, 1)
    again = checkpoint(1)._replace(state={"finished": True})
    save_checkpoint(tmp_path, again, step=1)
    assert_same(loaded(tmp_path), again)


def test_a_damaged_latest_gives_way_to_the_newest_whole_one_and_says_so(tmp_path):
    for n in (1, 2, 3):
        save(tmp_path, n, keep=5)
    assert loaded(tmp_path).skipped == ()
    flip(tmp_path / "checkpoints" / "step-00000003" / "weights.safetensors")
    flip(tmp_path / "checkpoints" / "step-00000002" / "state.json")
    found = loaded(tmp_path)
    assert_same(found, checkpoint(1))
    assert [name in line for name, line in zip(["00003/weights", "00002/state"], found.skipped, strict=True)] == [
        True
    ] * 2


@pytest.mark.parametrize("latest", [None, b"", b"step-00000009\n", b"../../x", b"\xff\xfe", b"step-00000001\nstep-2"])
def test_a_lost_or_foreign_latest_means_the_newest(tmp_path, latest):
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "checkpoints" / "latest").unlink()
    if latest is not None:
        (tmp_path / "checkpoints" / "latest").write_bytes(latest)
    assert_same(loaded(tmp_path), checkpoint(2))


def test_latest_decides_over_a_newer_number(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "checkpoints" / "latest").write_text("step-00000001\n")
    assert_same(loaded(tmp_path), checkpoint(1))


def test_checkpoints_of_an_abandoned_future_do_not_push_out_whole_ones(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 3)
    flip(tmp_path / "checkpoints" / "step-00000003" / "weights.safetensors")
    save(tmp_path, 2)  # resumed from 1
    assert steps(tmp_path) == [1, 2]
    assert_same(loaded(tmp_path), checkpoint(2))


def test_where_none_is_whole_the_error_names_the_file(tmp_path):
    flip(save(tmp_path, 1) / "weights.safetensors")
    advice = r"is whole\. Remove the folder and train again, or choose another with --out\. First: .*weights"
    with pytest.raises(BundleError, match=f"no checkpoint in .* {advice}"):
        load_latest(tmp_path)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"weights.safetensors": safetensors.torch.save({})}, "has no state.json, so it is no checkpoint"),
        ({"state.json": b"[]"}, "state.json must hold a JSON object"),
        (
            {"state.json": b"{}", "weights.safetensors": b"\x80\x04K\x01."},
            "weights.safetensors is not a safetensors file",
        ),
        ({"state.json": b"{}", "weights.pt": b""}, "lists 'weights.pt', which does not belong there"),
    ],
)
def test_a_whole_folder_that_is_no_checkpoint_is_refused(tmp_path, files, complaint):
    write_folder(tmp_path / "checkpoints" / "step-00000001", files)
    with pytest.raises(BundleError) as refused:
        load_latest(tmp_path)
    assert complaint in str(refused.value)


# Kills, errors, damage


@pytest.mark.parametrize(
    ("fault", "apart"),
    [
        pytest.param(None, 3, id="killed"),
        pytest.param(errno.ENOSPC, 3, id="disk full"),
        pytest.param(None, 1, id="killed, each step", marks=pytest.mark.long),
        pytest.param(errno.ENOSPC, 1, id="disk full, each step", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize(("saved", "keep"), [(3, 1), (2, 2)], ids=["a new step", "the same step again"])
def test_a_fault_at_any_step_of_a_save_leaves_the_old_or_the_new_as_latest(tmp_path, saved, keep, fault, apart):
    """Each kind of save and fault begins at another step, so that the short run, too, leaves no step out."""
    newer = checkpoint(3)._replace(state={"newer": True})
    new = []
    first = 1 if apart == 1 else 1 + (saved + (fault is not None)) % apart
    for step in range(first, MOST_STEPS, apart):
        run = tmp_path / str(step)
        save(run, 1)
        save(run, 2)
        end = with_fault(lambda run=run: save_checkpoint(run, newer, step=saved, keep=keep), step=step, fault=fault)
        found = loaded(run)
        assert found.skipped == ()
        if end == "untouched":
            assert_same(found, newer)
            break
        new.append(found.state == newer.state)
        assert_same(found, newer if new[-1] else checkpoint(2))
        save(run, 4)
        assert_same(loaded(run), checkpoint(4))
        assert len(steps(run)) == 2
        assert not list((run / "checkpoints").glob(".part-*"))
    else:
        pytest.fail(f"still going after {MOST_STEPS} steps")
    assert True in new
    assert False in new
    assert fault is not None or new == sorted(new)


@pytest.mark.long
def test_every_truncation_and_bit_flip_of_a_checkpoint_is_noticed(tmp_path):
    folder = save_checkpoint(tmp_path, Checkpoint({"weights": {"w": torch.arange(12.0)}}, {"step": 1}), step=1)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    dice = random.Random(0)
    for name, data in whole.items():
        damages = [data[:length] for length in range(len(data))]
        for bit in dice.sample(range(8 * len(data)), min(8 * len(data), 700)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            damages.append(bytes(flipped))
        for damage in damages:
            with (folder / name).open("r+b") as file:  # in place: much faster than anew
                file.write(damage)
                file.truncate()
            with pytest.raises(SeqloomError, match=r"is whole\. Remove the folder"):
                load_latest(tmp_path)
        (folder / name).write_bytes(data)
    assert load_latest(tmp_path) is not None


def test_loading_opens_its_own_files_only_and_runs_nothing(tmp_path):
    save(tmp_path, 1)
    allowed = {"latest", "step-00000001", "manifest.json", "state.json", "weights.safetensors", "optimizer.safetensors"}
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        seen: list[tuple[str, str]] = []
        sys.addaudithook(lambda event, given: seen.append((event, str(given[0]) if given else "")))
        try:
            load_latest(tmp_path)
            os.write(writer, json.dumps(seen).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        seen_there = json.loads(pipe.read())
    os.waitpid(child, 0)
    opened = {Path(name).name for event, name in seen_there if event == "open" and not name.isdigit()}
    assert opened == allowed
    assert {event for event, _ in seen_there} <= {"open", "os.listdir", "os.scandir"}
