"""The part of docs/benchmarks.md about texts that are written: quality on real data, speed beside plain PyTorch."""

from collections.abc import Sequence
from typing import Any

from benchmarks.length_figure import span_name, spans

QUALITY = """
## Texts that are written
`python -m benchmarks.writing SET`: trained with `examples/*.toml`, nothing tuned on the rows scored here. BLEU and chrF
by sacreBLEU (cased, 13a), with the 95 % interval of BLEU; error rate: edits per word, or per phoneme or letter where a
text is a word. Any target that a source has counts as right. Minutes are those of the whole training.

| set | test rows | perplexity | exact match | error rate | BLEU | chrF | minutes, threads |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
PICTURE = "\n![BLEU by the length of the source](bleu-by-length.svg)\n"
SPEED = """
### The encoder-decoder beside the same model in plain PyTorch
`python -m benchmarks.seq2seq`: same sizes, batches, optimiser and steps, in turns. Characters: V 60, E 128, H 256,
25 read and 25 written; words: V 8,000, E = H = 256, 15 and 15. The floor is what the multiplications alone take at the
peak of this processor ({peak} GFLOP/s): no model of these sizes can be faster.

| case | task | batch | seqloom, ms | plain, ms | ratio | floor, ms |
| --- | --- | --- | --- | --- | --- | --- |
"""


def render(results: Sequence[dict[str, Any]], speed: dict[str, Any] | None) -> str:
    """Both tables; empty where nothing was measured."""
    page = ""
    if results:
        page += QUALITY + "".join(map(_row, results)) + "".join(map(_by_length, results))
        page += PICTURE if any(map(spans, results)) else ""
    if speed is not None:
        page += SPEED.format(peak=speed["peak_gflops"]) + "".join(map(_task, speed["tasks"])) + _memory(speed)
    return page


def _row(result: dict[str, Any]) -> str:
    test, machine = result["test"], result["machine"]
    metrics = test["metrics"]
    bleu = "" if "bleu" not in metrics else f"{metrics['bleu']:.1f} ({_interval(test['intervals']['bleu'], 1)})"
    cells = [
        result["set"],
        f"{test['rows']['used']:,}",
        f"{metrics['perplexity']:.2f}",
        f"{100 * metrics['exact_match']:.1f} %",
        f"{100 * metrics['error_rate']:.1f} %",
        bleu,
        f"{metrics['chrf']:.1f}" if "chrf" in metrics else "",
        f"{result['minutes']:.1f}, {machine['threads']}",
    ]
    return "| " + " | ".join(cells) + " |\n"


def _by_length(result: dict[str, Any]) -> str:
    spans = [span for span in result["test"]["by_length"] if "bleu" in span]
    if not spans:
        return ""
    shown = ", ".join(f"{span_name(span['words'])} words {span['bleu']:.1f} ({span['rows']} rows)" for span in spans)
    return f"\n{result['set']}, BLEU by the length of the source: {shown}.\n"


def _task(task: dict[str, Any]) -> str:
    ours, plain = (1e3 * task["sides"][side]["median"] for side in ("seqloom", "plain"))
    numbers = f"{ours:.1f} | {plain:.1f} | {task['ratio']:.2f} | {1e3 * task['floor']:.1f}"
    return f"| {task['case']} | {task['task']} | {task['rows']} | {numbers} |\n"


def _memory(speed: dict[str, Any]) -> str:
    ours, plain = (speed["loss_memory"][side] / 2**20 for side in ("seqloom", "plain"))
    return (
        f"\nPeak memory of the loss with its gradients, 960 rows of 256 numbers and 30,000 words: {ours:.0f} MiB, "
        f"plain {plain:.0f} MiB.\n"
    )


def _interval(ends: Sequence[float], digits: int) -> str:
    return " to ".join(f"{end:.{digits}f}" for end in ends)
