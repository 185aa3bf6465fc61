"""The recurrent core's part of docs/benchmarks.md, from the kept results."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.figure import Mark
from benchmarks.measure import AGREES, FEWEST_CLEAN, ROUGH

Result = dict[str, Any]

TORCH = ("torch", "torch batch first")
OTHERS = ("torch.compile", "Keras on JAX", "Keras on TensorFlow", "ONNX Runtime")
COLUMNS = ("torch packed", *OTHERS, "ONNX Runtime int8", "seqloom int8")

LAYERS = """
## The recurrent core: layers
Time of the peer over time of seqloom, medians of turns taken in one run: above 1 seqloom is faster. A case is B, T, I,
H; "train" is the forward pass and the gradients of the input and of all weights. *torch* is the faster of (T, B, I) and
(B, T, I); seqloom reads (B, T, I). *reviews*: rows of 46 to 400 steps, 209 on average, padded to the longest, or packed
(packing is timed, padding the outputs back is not). *step*: one step called from Python, its state carried on. % of
peak counts useful work alone, 2·tokens·(I + H)·gates·H a direction and three times that for training, over what the
processor does at multiply-adds in the same run; *at most*: torch's time over ours if we computed at that peak and did
nothing else, which no kernel can exceed; *by parts*: torch's time over that of our products and activations and, in
training, of keeping what the way back needs, each measured alone, over and over (`benchmarks/parts.py`): an estimate of
what is left to gain without a faster product.
† fewer than {few} undisturbed samples. – cannot do it, or was not there.

![Time of the peers over time of seqloom, case by case](benchmarks.svg)

| cell | case | mode | seqloom, ms | % of peak | torch | at most | by parts | {columns} |
| --- | --- | --- | --- | --- | --- | --- | --- |{rule}
"""
NARROW = """
## The same without AVX-512
Both sides held to what most laptops have:
`SEQLOOM_ISA=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2`.

| cell | case | mode | seqloom, ms | % of peak | torch | at most | by parts | torch packed |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
MEMORY = """
## Memory of a training step
MB above what was held before the step, and bytes a token that the forward pass keeps for the backward pass.

| cell | case | seqloom | torch | torch packed | kept a token: seqloom | torch | torch packed |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
TRAINING = """
## Training a classifier from end to end
Embedding 128, one layer of 128 in both directions, the largest output over time; batches of 64 rows of like length,
torch's fused Adam; *unfused*: Adam as torch makes it where nothing is said, a parameter after the other.
Tokens a second on the same batches in turns, and seconds of training until the rows for validation are scored as high
as the target for the first time. *seqloom*: our layer and pooling in the torch model. *train*: the same model as
`seqloom train` makes it, which reads each different word of a batch once. *accelerate*: the packed torch model after
`seqloom.accelerate`.

| data | cell | side | tokens/s | seqloom is faster by | seconds to the target |
| --- | --- | --- | --- | --- | --- |
"""
GPU = """
## The plain cells on a GPU
`python -m benchmarks.gpu`: both sides run on cuDNN. Milliseconds of a call of seqloom, in brackets torch's time over
ours; medians of {turns} turns. What seqloom adds is on the host: it lays the weights out for cuDNN and asks for
lengths; it packs rows of unlike length by one index where torch copies step by step.

| case | {columns} |
| --- |{rule}
"""


def render(layers: Result | None, memory: Result | None, training: Result | None, narrow: Result | None = None) -> str:
    """The sections whose results are kept; `narrow` is of layers, held to AVX2."""
    parts: list[tuple[Result | None, str, Callable[[Result], Iterator[str]]]] = [
        (layers, _layers_head(), _layer_row),
        (narrow, NARROW, _narrow_row),
        (memory, MEMORY, _memory_row),
        (training, TRAINING, _training_rows),
    ]
    return "".join(
        head + "".join(line for result in kept["results"] for line in row(result)) + _measured(kept)
        for kept, head, row in parts
        if kept is not None
    )


def on_a_gpu(kept: Result) -> str:
    """The section of the plain cells on a GPU, a line a case."""
    shown: dict[str, dict[str, str]] = {}
    for result in kept["results"]:
        said = f"{result['milliseconds']['seqloom']:.2f} ({result['ratio']:.2f})"
        shown.setdefault(result["case"], {})[f"{result['cell']} {result['mode']}"] = said
    columns = list(next(iter(shown.values())))
    head = GPU.format(turns=kept["turns"], columns=" | ".join(columns), rule=" --- |" * len(columns))
    lines = "".join(_line([case, *(row[name] for name in columns)]) for case, row in shown.items())
    versions = kept["versions"]
    return f"{head}{lines}\nMeasured on {versions['gpu']}, CUDA {versions['cuda']}, torch {kept['machine']['torch']}.\n"


def marks(layers: Result) -> list[Mark]:
    """What the picture shows: torch, padded and packed, and the fastest of the other peers."""
    found = []
    for result in layers["results"]:
        row, cell = f"{result['case']}, {result['mode']}", result["cell"]
        found.append(Mark(row, cell, _least(result, TORCH), torch=True))
        if packed := _ratio(result, "torch packed"):
            found.append(Mark(f"{row}, packed", cell, packed, torch=True))
        if any(_ratio(result, name) for name in OTHERS):
            found.append(Mark(row, cell, _least(result, OTHERS), torch=False))
    return found


def _layers_head() -> str:
    return LAYERS.format(few=FEWEST_CLEAN, columns=" | ".join(COLUMNS), rule=" --- |" * len(COLUMNS))


def _layer_row(result: Result) -> Iterator[str]:
    yield _line([*_against_torch(result), *(_shown(result, name) for name in COLUMNS)])


def _narrow_row(result: Result) -> Iterator[str]:
    yield _line([*_against_torch(result), _shown(result, "torch packed")])


def _against_torch(result: Result) -> list[str]:
    ours = result["sides"]["seqloom"]
    torch = min(TORCH, key=lambda name: _ratio(result, name) or float("inf"))
    milliseconds = f"{1e3 * ours['median']:.3g}{_doubt(ours, 'seqloom')}"
    cells = [result["cell"], result["case"], result["mode"], milliseconds, f"{ours['percent_of_peak']:.0f}"]
    least = _least(result, TORCH)
    parts = result.get("parts_seconds")  # None without a core to measure them with
    by_parts = "–" if parts is None else f"{least * ours['median'] / parts:.3g}"
    return [*cells, _shown(result, torch), f"{100 * least / ours['percent_of_peak']:.3g}", by_parts]


def _shown(result: Result, name: str) -> str:
    ratio = _ratio(result, name)
    return "–" if ratio is None else f"{ratio:.3g}{_doubt(result['sides'][name], name)}"


def _doubt(side: Result, name: str) -> str:
    differs = side["difference"] > (ROUGH if "int8" in name else AGREES)
    return (" †" if side["clean"] < FEWEST_CLEAN else "") + (" (other results)" if differs else "")


def _ratio(result: Result, name: str) -> float | None:
    ratio: float | None = result["sides"].get(name, {}).get("ratio")
    return ratio


def _least(result: Result, names: Sequence[str]) -> float:
    return min(ratio for name in names if (ratio := _ratio(result, name)))


def _memory_row(result: Result) -> Iterator[str]:
    sides = [result["sides"][name] for name in ("seqloom", "torch", "torch packed")]
    peaks = [f"{side['peak_bytes'] / 1e6:.0f}" if "peak_bytes" in side else "–" for side in sides]
    saved = [f"{side['saved_bytes_a_token']:,.0f}" if "peak_bytes" in side else "–" for side in sides]
    yield _line([result["cell"], result["case"], *peaks, *saved])


def _training_rows(result: Result) -> Iterator[str]:
    for name, side in result["sides"].items():
        seconds = side["seconds_to_target"]
        reached = "not run so long" if not result["race"] else f"{seconds:.0f}" if seconds else "not reached"
        speed = [f"{side['tokens_per_second']:,}{_few(side)}", f"{side['ratio']:.2f}"]
        label = f"{result['set']}, target {result['target']:.2f}"
        yield _line([label, result["cell"], name, *speed, reached])


def _few(side: Result) -> str:
    return " †" if side["clean"] < min(FEWEST_CLEAN, side["turns"]) else ""


def _measured(kept: Result) -> str:
    machine, run = kept["machine"], kept["run"]
    found: dict[str, str] = {}
    for result in kept["results"]:
        for versions in result.get("versions", {}).values():
            found |= versions
    versions = ", ".join(f"{name} {version}" for name, version in found.items())
    peaks = [result["peaks"] for result in kept["results"] if "peaks" in result]
    peak = ", ".join(
        f"{name} {max(peak[key] for peak in peaks):.0f} GFLOP/s"
        for key, name in {"fma": "multiply-adds", "torch_matmul": "torch's product"}.items()
        if peaks and key in peaks[0]
    )
    paths = sorted({path for result in kept["results"] if (path := _path(result))})
    return (
        f"\nMeasured {kept['date']} on {machine['processor']} ({machine['isa']}), {run['threads']} threads of "
        f"{machine['cpus']} CPUs, load {run['load_at_start']} before, {run['stolen_seconds']} s stolen by the host in "
        f"{run['seconds']} s; torch {machine['torch']}{', ' + versions if versions else ''}; seed 0"
        f"{'; peak: ' + peak if peak else ''}{'; path of seqloom: ' + ', '.join(paths) if paths else ''}.\n"
    )


def _path(result: Result) -> str:
    path: str = result["sides"].get("seqloom", {}).get("notes", {}).get("path", "")
    return path


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
