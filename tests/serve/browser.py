"""A browser driven over the DevTools protocol, on the standard library: a web socket, and what tests ask a page."""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0  # for whatever is waited for: machines that run tests are busy ones
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage")
OPTIONS += ("--disable-background-networking", "--remote-debugging-port=0", "--window-size=1280,900")


def find_browser() -> str | None:
    """The path of a Chromium, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Socket:
    """The client's side of a web socket, for texts."""

    def __init__(self, url: str) -> None:
        host, _, path = url.removeprefix("ws://").partition("/")
        name, _, port = host.partition(":")
        self.connection = socket.create_connection((name, int(port)), timeout=SECONDS)
        key = base64.b64encode(os.urandom(16)).decode()
        fields = f"Host: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        self.connection.sendall(f"GET /{path} HTTP/1.1\r\n{fields}Sec-WebSocket-Key: {key}\r\n\r\n".encode())
        self.stream = self.connection.makefile("rb")
        assert self.stream.readline().split()[1] == b"101"
        while self.stream.readline().strip():
            pass

    def send(self, text: str) -> None:
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBQ", 0x81, 0xFF, size)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        self.connection.sendall(head + mask + masked)

    def receive(self) -> str:
        """The next text, put together from its parts."""
        found, last = b"", False
        while not last:
            first, size = self.stream.read(2)
            if size > 125:
                size = int.from_bytes(self.stream.read(2 if size == 126 else 8), "big")
            data = self.stream.read(size)
            if first & 15 < 8:  # others are pings and the like
                found, last = found + data, bool(first & 128)
        return found.decode()


class Browser:
    """A Chromium with one page; `events` are those that it told of the page."""

    def __init__(self, program: str, folder: Path) -> None:
        self.child = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stderr=subprocess.PIPE, text=True, env=os.environ | {"LANG": "C.UTF-8"},
        )  # fmt: skip
        assert self.child.stderr is not None
        line = next(line for line in self.child.stderr if "listening on" in line)
        port = line.split("/")[2].rpartition(":")[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=SECONDS) as told:
            [page] = [each for each in json.load(told) if each["type"] == "page"]
        self.socket = Socket(page["webSocketDebuggerUrl"])
        self.events: list[dict[str, Any]] = []
        self.sent = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **values: Any) -> Any:
        """Ask the browser for something; what it answers."""
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": values}))
        while (message := json.loads(self.socket.receive())).get("id") != self.sent:
            self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def run(self, script: str) -> Any:
        """The value of an expression, as JSON; a promise's once it is kept."""
        found = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of an expression as soon as it is a true one."""
        deadline = time.monotonic() + SECONDS
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"{script}: not so; the page says {self.run('document.body.innerText')}"
            time.sleep(0.02)
        return value

    def open(self, url: str) -> None:
        """Load a page anew."""
        self("Page.navigate", url="about:blank")
        self("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && document.querySelector('#model')?.options.length")

    def key(self, key: str, *, shift: bool = False) -> None:
        """Press a key and let it go."""
        codes = {"Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Tab": 9, " ": 32}
        code = codes.get(key, ord(key[0].upper()))
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        values = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        self("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **values)
        self("Input.dispatchKeyEvent", type="keyUp", **values)

    def type(self, text: str) -> None:
        """Put a text where the cursor is, in place of what is selected."""
        self("Input.insertText", text=text)

    def picture(self) -> bytes:
        """What the whole page looks like, as PNG."""
        return base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def close(self) -> None:
        """End it."""
        self.socket.stream.close()
        self.socket.connection.close()
        self.child.terminate()
        self.child.communicate(timeout=SECONDS)
