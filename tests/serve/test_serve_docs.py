"""docs/serve.md says what is so: its requests are answered as it shows, its table is that of the code."""

import json
import shlex
from typing import Any

from seqloom.serve.limits import Limits
from tests.serve.conftest import Client
from tests.test_docs import ROOT, blocks, generated

PAGE = ROOT / "docs" / "serve.md"


def limits_table() -> str:
    rows = [f"| `{name}` | {field.default:,} | {field.description} |" for name, field in Limits.model_fields.items()]
    return "\n".join(["| limit | default | what it is |", "| --- | --- | --- |", *rows]) + "\n"


def test_limits_are_those_of_the_code() -> None:
    assert generated("serve.md", "limits") == limits_table()


def test_requests_are_answered_as_the_page_shows(client: Client) -> None:
    client.service.models["reviews"] = client.service.models["one-way"]
    session, answer, asked = "", b"", 0
    for block in blocks(PAGE):
        if block.language == "json" and block.below:
            assert keys(json.loads(answer)) == keys(json.loads(block.text)), block.line
        for line in block.text.splitlines() if block.language == "console" else []:
            if line.startswith("curl "):
                method, path, body = request_of(line.replace("SESSION", session))
                reply = client(method, path, body)
                assert reply.status < 300, (line, reply.body)
                answer, asked = reply.body, asked + 1
                session = reply.json["id"] if path == "/v1/sessions" else session
    assert asked == 9


def request_of(line: str) -> tuple[str, str, Any]:
    """Method, path and JSON of a curl command."""
    words = shlex.split(line)
    url, method, body = words[-1], "GET", None
    if "--json" in words:
        method, body = "POST", json.loads(words[words.index("--json") + 1])
    if "-X" in words:
        method = words[words.index("-X") + 1]
    host, _, path = url.partition("/")
    assert host == "localhost:8000"
    return method, "/" + path, body


def keys(value: Any) -> Any:
    """The names in a JSON value, without what stands for labels and numbers."""
    if isinstance(value, dict):
        return {name: keys(each) for name, each in value.items() if name != "probabilities"}
    return [keys(each) for each in value] if isinstance(value, list) else None
