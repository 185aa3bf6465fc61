"""What a training needs to go on as if it had never stopped, kept so that a kill costs at most the last interval.

Each checkpoint is a verified folder `checkpoints/step-…` of the run, the file `latest` names the one to go on from, and
older ones are removed only after that. Tensors are safetensors, everything else is JSON: loading runs no code.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from seqloom.errors import BundleError, TrainingError
from seqloom.files import (
    read_folder,
    remove_folder,
    remove_temporaries,
    replace_folder,
    strict_json,
    write_file,
    write_folder,
)

__all__ = ["GROUPS", "JSON", "Checkpoint", "load_latest", "save_checkpoint"]

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

GROUPS = ("weights", "best", "average", "optimizer", "carried")

STATE = "state.json"
LATEST = "latest"

_STEP = re.compile(r"step-\d{8,}")
_LIMITS = {STATE: 1 << 28} | {f"{group}.safetensors": 1 << 40 for group in GROUPS}


class Checkpoint(NamedTuple):
    """The tensors of a training by group (one of GROUPS) and name, and the rest of its state as plain JSON values.

    `skipped` says, one sentence each, which newer checkpoints were damaged and passed over when this one was loaded.
    """

    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, JSON]
    skipped: tuple[str, ...] = ()


def save_checkpoint(run: Path, checkpoint: Checkpoint, *, step: int, keep: int = 2) -> Path:
    """Save `checkpoint` durably as `run`/checkpoints/step-…, and remove all but the newest `keep` up to `step`.

    The tensors are copied before this returns. The caller holds `lock_folder(run)`.
    Raises TrainingError where a tensor holds a NaN or an infinity, StorageError where the folder cannot be written: the
    checkpoints from before are whole then.
    """
    files = _to_bytes(checkpoint)
    checkpoints = run / "checkpoints"
    folder = checkpoints / f"step-{step:08d}"
    remove_temporaries(checkpoints)
    if folder.exists():
        replace_folder(folder, files)
    else:
        write_folder(folder, files)
    write_file(checkpoints / LATEST, f"{folder.name}\n".encode())
    _prune(checkpoints, step=step, keep=keep)
    return folder


def load_latest(run: Path) -> Checkpoint | None:
    """The checkpoint to go on from, equal to what was saved to the last bit, on the CPU; None where there is none.

    It is the one that `latest` names or, where that is damaged, the newest whole one; `skipped` tells.
    Raises BundleError where checkpoints are there but none is whole.
    """
    checkpoints = run / "checkpoints"
    skipped: list[str] = []
    for folder in _by_preference(checkpoints):
        try:
            files = read_folder(folder, allowed=_LIMITS)
            return _from_bytes(files, folder=folder)._replace(skipped=tuple(skipped))
        except BundleError as error:
            skipped.append(str(error))
    if skipped:
        advice = "Remove the folder and train again, or choose another with --out."
        raise BundleError(f"no checkpoint in {checkpoints} is whole. {advice} First: {skipped[0]}")
    return None


def _to_bytes(checkpoint: Checkpoint) -> dict[str, bytes]:
    files = {}
    for group, tensors in checkpoint.tensors.items():
        if group not in GROUPS:
            raise ValueError(f"{group!r} is no group of tensors, allowed: {', '.join(GROUPS)}")
        for name, tensor in tensors.items():
            _check_finite(tensor, name=f"{group}: {name}")
        # A copy each: safetensors refuses tensors that share memory or are not contiguous.
        copies = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        files[f"{group}.safetensors"] = safetensors.torch.save(copies)
    try:
        files[STATE] = json.dumps(checkpoint.state, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise TrainingError(f"the state of the training is not plain JSON: {error}") from error
    return files


def _check_finite(tensor: Tensor, *, name: str) -> None:
    if (tensor.is_floating_point() or tensor.is_complex()) and not bool(torch.isfinite(tensor).all()):
        raise TrainingError(
            f"{name} holds a NaN or an infinity, and no checkpoint is saved of it. "
            "Go on from the last checkpoint with a lower learning rate or a smaller clip_norm."
        )


def _from_bytes(files: dict[str, bytes], *, folder: Path) -> Checkpoint:
    if STATE not in files:
        raise BundleError(f"{folder} has no {STATE}, so it is no checkpoint.")
    state = strict_json(files.pop(STATE), name=str(folder / STATE))
    if not isinstance(state, dict):
        raise BundleError(f"{folder / STATE} must hold a JSON object.")
    tensors = {}
    for name, data in files.items():
        try:
            tensors[name.removesuffix(".safetensors")] = safetensors.torch.load(data)
        except SafetensorError as error:
            raise BundleError(f"{folder / name} is not a safetensors file: {error}.") from None
    return Checkpoint(tensors, state)


def _by_preference(checkpoints: Path) -> list[Path]:
    """The checkpoint that `latest` names, even where it is gone, then all others, the newest first."""
    newest_first = sorted(_steps(checkpoints), key=_step, reverse=True)
    latest = _latest(checkpoints)
    named = [checkpoints / latest] if _STEP.fullmatch(latest) else []
    return named + [folder for folder in newest_first if folder not in named]


def _latest(checkpoints: Path) -> str:
    try:
        return (checkpoints / LATEST).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _steps(checkpoints: Path) -> list[Path]:
    if not checkpoints.is_dir():
        return []
    return [path for path in checkpoints.iterdir() if _STEP.fullmatch(path.name)]


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _prune(checkpoints: Path, *, step: int, keep: int) -> None:
    """Keep the newest up to `step`; later ones belong to a training that was taken back to before them."""
    current = sorted((path for path in _steps(checkpoints) if _step(path) <= step), key=_step)[-keep:]
    for path in _steps(checkpoints):
        if path not in current:
            remove_folder(path)
