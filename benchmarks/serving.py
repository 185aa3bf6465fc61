"""python -m benchmarks.serving [--short]: the server under load, client and server a core each.

    speed       predictions a second, p50 and p99, at 1, 16 and 64 clients
    overload    three times what it can, from a fixed schedule: what is refused, what is lost, how late the rest is
    memory      how much it grows over many mixed requests
    slow        how much connections that send nothing disturb the others
    look        the files of the page and the first look at a text, and later ones at a text of 500 words; a model of
                the default size

Latencies of an open schedule count from when a request was due, so that a server that stalls cannot hide it.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import seqloom
from benchmarks.machine import keep
from seqloom.data import reviews

TEXTS = [text for text, _ in reviews(400, seed=3)]
TIMEOUT = 30.0
FILES, IMPORTS = re.compile(r'(?:href|src)="(/page/[^"]+)"'), re.compile(r'from "\./([^"]+)"')
CONNECTIONS = 256  # of an open schedule; fewer than the server takes


class Connection:
    """One keep-alive connection, speaking just enough HTTP."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: Any, *, method: str = "POST") -> tuple[int, bytes, bool]:
        """Status, body, and whether it says when to come again; the status is 0 where the connection broke."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        try:
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self.streams
            writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in headers.split("\r\n")[1:-2])
            answer = await reader.readexactly(int(fields.get("content-length", 0)))
            if fields.get("connection") == "close":
                self.close()
            return int(headers.split(" ", 2)[1]), answer, "retry-after" in fields
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return 0, b"", False

    def close(self) -> None:
        """Leave; the next request connects anew."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


def predict(place: int) -> dict[str, Any]:
    """The body of a prediction of one text."""
    return {"inputs": [TEXTS[place % len(TEXTS)]]}


async def closed(port: int, clients: int, seconds: float) -> dict[str, float]:
    """So many clients, each asking again as soon as it is answered."""
    end, found = time.perf_counter() + seconds, list[float]()

    async def client(place: int) -> None:
        connection = Connection(port)
        while (begun := time.perf_counter()) < end:
            status, _, _ = await connection.ask("/v1/predict", predict(place))
            assert status == 200, status
            found.append(time.perf_counter() - begun)
            place += clients
        connection.close()

    await asyncio.gather(*(client(place) for place in range(clients)))
    return {"clients": clients, "per_second": round(len(found) / seconds, 1), **quantiles(found)}


async def scheduled(port: int, rate: float, seconds: float) -> dict[str, Any]:
    """Requests at a fixed rate, whether or not the earlier ones are answered."""
    free = [Connection(port) for _ in range(CONNECTIONS)]
    every: list[Connection] = list(free)
    statuses: Counter[str] = Counter()
    accepted, refused = list[float](), list[float]()

    async def one(place: int, due: float) -> None:
        if not free:
            statuses["no connection free"] += 1
            return
        connection = free.pop()
        try:
            async with asyncio.timeout(TIMEOUT):
                status, _, again = await connection.ask("/v1/predict", predict(place))
        except TimeoutError:
            connection.close()
            statuses["timeout"] += 1
            return
        finally:
            free.append(connection)
        late = time.perf_counter() - due
        name = str(status) if status == 200 or not again else f"{status} with retry-after"
        statuses[name if status else "reset"] += 1
        (accepted if status == 200 else refused).append(late)

    started, tasks = time.perf_counter(), list[asyncio.Task[None]]()
    for place in range(int(rate * seconds)):
        due = started + place / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(place, due)))
    await asyncio.gather(*tasks)
    for connection in every:
        connection.close()
    told = {"rate": round(rate, 1), "seconds": seconds, "statuses": dict(statuses)}
    return told | {"accepted": quantiles(accepted), "refused": quantiles(refused)}


async def mixed(port: int, count: int, clients: int = 16) -> dict[str, int]:
    """Predictions, sessions, mistakes, pages and clients that leave, so many requests in all."""
    draw, statuses, left = random.Random(1), Counter[str](), iter(range(count))

    async def client() -> None:
        connection = Connection(port)
        for place in left:
            kind = draw.random()
            if kind < 0.7:
                status, _, _ = await connection.ask("/v1/predict", predict(place))
            elif kind < 0.8:
                status, opened, _ = await connection.ask("/v1/sessions", {})
                if status == 201:
                    path = f"/v1/sessions/{json.loads(opened)['id']}"
                    await connection.ask(f"{path}/step", {"input": "not good ", "seq": 1})
                    status, _, _ = await connection.ask(path, None, method="DELETE")
            elif kind < 0.9:
                status, _, _ = await connection.ask("/v1/predict", {"inputs": [place]})
            elif kind < 0.95:
                status, _, _ = await connection.ask("/metrics", None, method="GET")
            else:
                asking = asyncio.create_task(connection.ask("/v1/predict", predict(place)))
                await asyncio.sleep(0.0005)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                connection.close()
                status = -1
            statuses[str(status)] += 1
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return dict(statuses)


async def memory(port: int, pid: int, count: int) -> dict[str, Any]:
    """What the server's memory grows by over `count` requests, after a fourth as many."""
    await mixed(port, count // 4)
    before = resident(pid)
    statuses = await mixed(port, count)
    return {"requests": count, "grown_megabytes": round((resident(pid) - before) / 2**20, 2), "statuses": statuses}


async def slow(port: int, seconds: float, count: int = 500, clients: int = 4) -> dict[str, Any]:
    """Latencies without and with connections that send half a header, renewed as the server ends them."""
    alone = await closed(port, clients, seconds)
    going = True

    async def stall() -> None:
        while going:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"POST /v1/predict HTTP/1.1\r\nhost: loc")
                await reader.read(1)
                writer.close()
            except OSError:
                await asyncio.sleep(0.1)

    stalled = [asyncio.create_task(stall()) for _ in range(count)]
    await asyncio.sleep(1)
    beside = await closed(port, clients, seconds)
    going = False
    for task in stalled:
        task.cancel()
    await asyncio.gather(*stalled, return_exceptions=True)
    return {"connections": count, "alone": alone, "beside": beside, "p99_ratio": beside["p99_ms"] / alone["p99_ms"]}


async def look(port: int, times: int) -> dict[str, float]:
    """Seconds until the page is there and a first text is looked at, and of each later look at 500 words."""
    connection, started = Connection(port), time.perf_counter()
    _, page, _ = await connection.ask("/", None, method="GET")
    files, seen = {"/v1/models", *FILES.findall(page.decode())}, set[str]()
    while files - seen:
        name = min(files - seen)
        seen.add(name)
        status, text, _ = await connection.ask(name, None, method="GET")
        assert status == 200, name
        if name.endswith(".js"):
            files |= {f"/page/{imported}" for imported in IMPORTS.findall(text.decode())}
    await connection.ask("/v1/look", {"input": TEXTS[0]})
    first, long = time.perf_counter() - started, " ".join(TEXTS).split()[:500]
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        status, _, _ = await connection.ask("/v1/look", {"input": " ".join(long)})
        assert status == 200, status
        found.append(time.perf_counter() - begun)
    connection.close()
    return {"files": len(seen), "first_look_s": round(first, 3), **quantiles(found)}


def quantiles(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {f"p{share}_ms": round(ordered[min(last, share * len(ordered) // 100)] * 1e3, 2) for share in (50, 99)}


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def with_server(folder: Path, work: Callable[[int, int], Coroutine[Any, Any, Any]]) -> Any:
    """What `work` finds with port and process id of a fresh server, which has the last core for itself."""
    words = [sys.executable, "-c", "from seqloom.cli import main; main()", "serve", str(folder), "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=environment) as server:
        assert server.stderr is not None
        port = int(server.stderr.readline().decode().rstrip("/\n").rpartition(":")[2])
        # Whatever else it says is shown; a pipe that nobody reads would stop it when full.
        threading.Thread(target=shutil.copyfileobj, args=(server.stderr, sys.stderr.buffer), daemon=True).start()
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(server.pid, {cores[-1]})
        if len(cores) > 1:
            os.sched_setaffinity(0, set(cores[:-1]))
        try:
            return asyncio.run(work(port, server.pid))
        finally:
            os.sched_setaffinity(0, set(cores))
            server.terminate()
            server.wait(120)


async def overload(port: int, seconds: float) -> dict[str, Any]:
    """What it can at most, then at 80 % of that, then at three times as much."""
    most = (await closed(port, 64, seconds / 3))["per_second"]
    calm = await scheduled(port, 0.8 * most, seconds / 3)
    storm = await scheduled(port, 3 * most, seconds)
    after = await closed(port, 16, 2)
    ratio = storm["accepted"].get("p99_ms", float("inf")) / calm["accepted"]["p99_ms"]
    return {"most": most, "calm": calm, "storm": storm, "after": after, "p99_ratio": round(ratio, 2)}


def main() -> int:
    """Measure, print, and unless it is short keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a few seconds each, nothing kept")
    parser.add_argument("--only", choices=["speed", "overload", "memory", "slow", "look"])
    given = parser.parse_args()
    seconds = 2.0 if given.short else 20.0

    async def speed(port: int, pid: int) -> list[dict[str, float]]:
        await closed(port, 4, seconds / 4)
        return [await closed(port, clients, seconds) for clients in (1, 16, 64)]

    parts: dict[str, Callable[[int, int], Coroutine[Any, Any, Any]]] = {
        "speed": speed,
        "overload": lambda port, pid: overload(port, 3.0 if given.short else 60.0),
        "memory": lambda port, pid: memory(port, pid, 2_000 if given.short else 200_000),
        "slow": lambda port, pid: slow(port, seconds),
        "look": lambda port, pid: look(port, 5 if given.short else 30),
    }
    with tempfile.TemporaryDirectory() as place:
        data, folder = Path(place) / "reviews.csv", Path(place) / "reviews"
        data.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in reviews(400, seed=3)))
        settings: dict[str, Any] = {"training.epochs": 1, "training.baselines": False}
        seqloom.train(data, task="classify", out=folder, settings=settings | {"model.bidirectional": False})
        seqloom.train(data, task="classify", out=Path(place) / "default", settings=settings)
        found = {}
        for name, work in parts.items():
            if given.only in (None, name):
                found[name] = with_server(Path(place) / "default" if name == "look" else folder, work)
                print(name, json.dumps(found[name], indent=2), flush=True)
    if not given.short and given.only is None:
        print(keep("serving", found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
