"""The part of docs/benchmarks.md about words that are tagged and series that are forecast, on real data."""

from collections.abc import Sequence
from typing import Any

TAGS = """
## Words that are tagged
`python -m benchmarks.tagging SET`: universal parts of speech, gold tokens, no vectors from elsewhere,
`examples/tag.toml`, test rows scored once. Shares of words with their 95 % intervals; unknown: words that training
does not have.

| set | characters | accuracy | unknown words | most frequent tag | linear model | minutes, threads |
| --- | --- | --- | --- | --- | --- | --- |
"""
TAG_SPEED = """
## Taggers beside plain PyTorch
`python -m benchmarks.tagging speed`: training steps of the same model on the same batches of 32 sentences, in turns;
the plain one packs what its nn.LSTMs read. Real words a second, medians.

| set | characters | seqloom | plain | seqloom is faster by | threads |
| --- | --- | --- | --- | --- | --- |
"""
SERIES = """
## Series that are forecast
`python -m benchmarks.forecasting SET`: the defaults, the test part scored once, from rolling origins. Coverage is that
of the band between the quantiles 0.1 and 0.9, which should hold 80 %.

| set | MASE | sMAPE | coverage | seasonal naive: MASE | sMAPE | minutes, threads |
| --- | --- | --- | --- | --- | --- | --- |
"""


ANSWERED = """
## Series that are answered once
`python -m benchmarks.series SET`: `examples/series.toml` (pictures, row by row: the defaults), the test part scored
once a seed. Beside it a linear model on summaries of each channel, and the most frequent answer.

| set | test rows | accuracy, mean of the seeds | each seed | linear model | most frequent | minutes a seed, threads |
| --- | --- | --- | --- | --- | --- | --- |
"""


CAPTIONS = """
## Captions
`python -m benchmarks.captions SET`: images that training has not seen, scored once, beside the most frequent caption.

| set | exactly right | BLEU | chrF | most frequent: exactly right | BLEU | chrF | minutes, threads |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


LANGUAGE = """
## Language models beside plain PyTorch
`python -m benchmarks.language speed`: a training step of a dense nn.LSTM with a full softmax, same sizes, windows and
optimiser, in turns; memory is the peak of a process of its own. Above 1 seqloom is faster.

| case | V, E, layers x H | seqloom is faster by | MiB of a step: seqloom | plain |
| --- | --- | --- | --- | --- |
"""


READ = """
## Language models on real texts
`python -m benchmarks.language SET`: `ptb-small` is the small model of Zaremba et al. (2014), whose published test
perplexity is 114.5; the play is judged on its last tenth, in nats a character. A test text was scored once.

| set | parameters | validation | test | unigram | bigram | minutes, threads |
| --- | --- | --- | --- | --- | --- | --- |
"""


NAMES = """
## Names by language
`python -m benchmarks.names`: 18 languages, each name on one side of the split only, which differs by seed; scored once
a seed, beside logistic regression on runs of up to four characters.

| seed | test rows | accuracy | macro F1 | linear model: accuracy | macro F1 | minutes, threads |
| --- | --- | --- | --- | --- | --- | --- |
"""


LARGER = """
## Files larger than memory
`python -m benchmarks.larger_than_memory`: generated files, each read, parted, learned from, encoded, trained on for a
moment, scored and compared with the baselines by a process that may ask for no more memory than the limit. Anonymous
memory at its peak until training begins and after it, and the minutes of one processor until it begins. Other programs
ran meanwhile.

| task | file, MB | limit, GiB | memory until training, MB | from then on, MB | processor minutes until training |
| --- | --- | --- | --- | --- | --- |
"""

MEMORY = """
## How long each cell remembers
`python -m benchmarks.memory_tasks`: adding two marked numbers of 400, telling ten letters 20 steps later, telling the
order of two letters among 100. Solved: a loss below a tenth of guessing's, on new rows. One seed; learning rates of the
lab, but 0.003 for the LSTM's order: with 0.01 it stayed a guess for 20,000 updates.

| task | cell | steps | updates | loss | guessing | solved |
| --- | --- | --- | --- | --- | --- | --- |
"""


def language_quality(results: Sequence[dict[str, Any]]) -> str:
    """What was reached on real texts, a line a set; empty where nothing was measured."""
    lines = []
    for result in results:
        final, epochs = result["final"], result["epochs"]
        measure, shown = ("perplexity", 1) if final["split"] == "test" else ("loss", 3)
        best = min(epoch["metrics"][measure] for epoch in epochs)
        test = f"{final['metrics'][measure]:.{shown}f}" if final["split"] == "test" else "–"
        baselines = [final["baselines"].get(name, {}).get(measure) for name in ("unigram", "bigram")]
        told = ["–" if value is None else f"{value:.{shown}f}" for value in baselines]
        cells = [result["set"], f"{final['parameters']:,}", f"{best:.{shown}f}", test, *told, _minutes(result)]
        lines.append("| " + " | ".join(cells) + " |\n")
    return READ + "".join(lines) if lines else ""


def names(result: dict[str, Any]) -> str:
    """Each seed's scores beside the linear model's."""
    lines = []
    for run in result["runs"]:
        final = run["final"]
        both = [final["metrics"], final["baselines"]["tfidf_logreg"]]
        cells = [str(run["seed"]), f"{final['rows']['test']:,}"]
        cells += [_share(scores[name]) for scores in both for name in ("accuracy", "macro_f1")]
        lines.append("| " + " | ".join([*cells, _minutes({**result, **run})]) + " |\n")
    return NAMES + "".join(lines)


def memory_tasks(result: dict[str, Any]) -> str:
    """Which cell solved which task."""
    lines = []
    for told in result["outcomes"].values():
        cells = [told["task"], told["cell"], str(told["steps"]), f"{told['updates']:,}"]
        cells.append("–" if told["loss"] is None else f"{told['loss']:.4f}")
        solved = "diverged" if told["diverged"] else "yes" if told["solved"] else "no"
        lines.append("| " + " | ".join([*cells, f"{told['guess']:.4f}", solved]) + " |\n")
    return MEMORY + "".join(lines)


def larger(results: Sequence[dict[str, Any]]) -> str:
    """What training from large files held in memory, and how long it took; empty where nothing was measured."""
    lines = []
    for result in results:
        limit = f"{result['limit_gib']:g}" if result["limit_gib"] else "–"
        for run in result["runs"]:
            held = [f"{run[f'peak_mb_{phase}']:,.0f}" for phase in ("until_ready", "after")]
            spent = f"{run['processor_seconds_until_ready'] / 60:.0f}"
            lines.append("| " + " | ".join([run["task"], f"{run['mb']:,.0f}", limit, *held, spent]) + " |\n")
    return LARGER + "".join(lines) if lines else ""


def tagging_speed(result: dict[str, Any]) -> str:
    """Training of the tagger beside a plain one, a line a set and way of reading."""
    lines = []
    for each in result["results"]:
        for read, case in each["speed"].items():
            words = [f"{case['words_a_second'][side]:,.0f}" for side in ("seqloom", "plain")]
            cells = [each["set"], "read" if read == "characters" else "not read", *words, f"{case['ratio']:.2f}"]
            lines.append("| " + " | ".join([*cells, str(each["threads"])]) + " |\n")
    return TAG_SPEED + "".join(lines)


def language(result: dict[str, Any]) -> str:
    """The speed of language models, a line a case."""
    lines = []
    for case in result["cases"]:
        sizes, memory = case["sizes"], case["memory"]
        shape = f"{sizes['words']:,}, {sizes['size']}, {sizes['layers']} x {sizes['hidden']}"
        held = [f"{memory[side] / 2**20:.0f}" for side in ("seqloom", "plain")]
        lines.append("| " + " | ".join([case["case"], shape, f"{case['ratio']:.2f}", *held]) + " |\n")
    return LANGUAGE + "".join(lines)


def render(
    tagging: Sequence[dict[str, Any]],
    forecasting: Sequence[dict[str, Any]],
    series: Sequence[dict[str, Any]],
    captions: Sequence[dict[str, Any]],
) -> str:
    """The tables; empty where nothing was measured."""
    page = TAGS + "".join(map(_tagged, tagging)) if tagging else ""
    page += SERIES + "".join(map(_forecast, forecasting)) if forecasting else ""
    page += ANSWERED + "".join(map(_answered, series)) if series else ""
    return page + (CAPTIONS + "".join(map(_caption, captions)) if captions else "")


def _caption(result: dict[str, Any]) -> str:
    test = result["test"]
    cells = [result["set"]]
    for scores in (test["metrics"], test["baselines"]["majority"]):
        cells += [_share(scores["exact_match"]), f"{scores['bleu']:.1f}", f"{scores['chrf']:.1f}"]
    return "| " + " | ".join([*cells, _minutes(result)]) + " |\n"


def _answered(result: dict[str, Any]) -> str:
    first = result["runs"][0]["test"]
    cells = [
        result["set"],
        f"{first['rows']['test']:,}",
        _share(result["accuracy"]),
        ", ".join(map(_share, result["accuracies"])),
        *(_share(first["baselines"][name]["accuracy"]) for name in ("summary_logreg", "majority")),
        _minutes(result),
    ]
    return "| " + " | ".join(cells) + " |\n"


def _tagged(result: dict[str, Any]) -> str:
    final = result["final"]
    reached, baselines = final["metrics"], final["baselines"]
    cells = [
        result["set"],
        "read" if result["characters"] else "not read",
        *(_share(reached[name], final["intervals"][name]) for name in ("accuracy", "unknown_word_accuracy")),
        *(_share(baselines[name]["accuracy"]) for name in ("most_frequent", "feature_logreg")),
        _minutes(result),
    ]
    return "| " + " | ".join(cells) + " |\n"


def _forecast(result: dict[str, Any]) -> str:
    test, naive = result["test"], result["test"]["baselines"]["seasonal_naive"]
    reached = test["metrics"]
    cells = [
        result["set"],
        f"{reached['mase']:.3f}",
        f"{reached['smape']:.2f}",
        _share(reached["coverage"]),
        f"{naive['mase']:.3f}",
        f"{naive['smape']:.2f}",
        _minutes(result),
    ]
    return "| " + " | ".join(cells) + " |\n"


def _share(value: float, interval: Sequence[float] = ()) -> str:
    ends = f" ({' to '.join(f'{100 * end:.1f}' for end in interval)})" if interval else ""
    return f"{100 * value:.1f} %{ends}"


def _minutes(result: dict[str, Any]) -> str:
    return f"{result['minutes']:.1f}, {result['machine']['threads']}"
