"""The part of docs/benchmarks.md about the server under load."""

from typing import Any

HEAD = """
## The server under load
`python -m benchmarks.serving`: a classifier of short reviews, client and server a core each, over loopback.

| clients | predictions a second | p50, ms | p99, ms |
| --- | --- | --- | --- |
"""


def render(result: dict[str, Any]) -> str:
    """The speed by clients as a table, and what overload, many requests and slow connections do, in sentences."""
    rows = [
        "| " + " | ".join([f"{each[name]:,}" for name in ("clients", "per_second", "p50_ms", "p99_ms")]) + " |\n"
        for each in result["speed"]
    ]
    return (
        HEAD
        + "".join(rows)
        + "\n"
        + "\n".join([_overload(result), _memory(result), _slow(result), _look(result)])
        + "\n"
    )


def _overload(result: dict[str, Any]) -> str:
    found = result["overload"]
    storm, calm = found["storm"], found["calm"]
    statuses = ", ".join(f"{count:,} {name}" for name, count in storm["statuses"].items())
    return (
        f"- Three times what it can ({storm['rate']:,} a second for {storm['seconds']:.0f} s): {statuses}. Accepted "
        f"p99 {storm['accepted']['p99_ms']:,} ms, {found['p99_ratio']} times that at 80 % load "
        f"({calm['accepted']['p99_ms']:,} ms)."
    )


def _memory(result: dict[str, Any]) -> str:
    found = result["memory"]
    return f"- {found['requests']:,} mixed requests after warming up: the memory grew by {found['grown_megabytes']} MB."


def _slow(result: dict[str, Any]) -> str:
    found = result["slow"]
    return (
        f"- {found['connections']} connections that send nothing: p99 of the others {found['beside']['p99_ms']} ms, "
        f"{found['p99_ratio']:.2f} times that alone ({found['alone']['p99_ms']} ms)."
    )


def _look(result: dict[str, Any]) -> str:
    found = result["look"]
    return (
        f"- The page's {found['files']} files and the first look at a text, a model of the default size: "
        f"{found['first_look_s']} s; each later look at 500 words: p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms."
    )
