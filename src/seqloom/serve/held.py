"""State that the client keeps: what was read so far, sealed so that only what this server gave is taken back.

    base64url(mac + header + "\\n" + tensors)       mac = HMAC-SHA256 over all that follows it

A sealed state can be used again and again, and on several servers that share a key: texts branch freely. It belongs to
one model, by its checksum.
"""

import base64
import binascii
import hmac
import json
from typing import Any

import safetensors.torch
from torch import Tensor

from seqloom.inference import Reading
from seqloom.models import LanguageModel, ManyToOne
from seqloom.nn import Recurrent
from seqloom.serve.hosted import Hosted
from seqloom.serve.refusal import Refusal
from seqloom.shapes import StackState

VERSION = 1
MAC = 32


def seal(reading: Reading, model: Hosted, *, key: bytes) -> str:
    """A reading as a text that can be given away."""
    header = {"version": VERSION, "model": model.checksum, "steps": reading.steps, "waiting": reading.waiting}
    tensors = {"kept": reading.kept.cpu().contiguous()}
    for number, layer in enumerate(reading.states.layers):
        for name, path in zip(layer._fields, layer, strict=True):
            assert isinstance(path, Tensor)
            tensors[f"{number}.{name}"] = path.cpu().contiguous()
    body = json.dumps(header).encode() + b"\n" + safetensors.torch.save(tensors)
    return base64.urlsafe_b64encode(hmac.digest(key, body, "sha256") + body).decode()


def unseal(text: str, model: Hosted, *, key: bytes) -> Reading:
    """The reading that `seal` gave away. Raises Refusal for anything else, and for one of another model or version."""
    try:
        data = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise _refused("it is not whole") from None
    mac, body = data[:MAC], data[MAC:]
    if not hmac.compare_digest(mac, hmac.digest(key, body, "sha256")):
        raise _refused("it is not one that this server gave, or was changed")
    head, _, tensors = body.partition(b"\n")
    header: dict[str, Any] = json.loads(head)
    if header["version"] != VERSION:
        raise _refused("it is of another version")
    if header["model"] != model.checksum:
        raise _refused("it is of another model")
    return _reading(header, safetensors.torch.load(tensors), model)


def _reading(header: dict[str, Any], tensors: dict[str, Tensor], model: Hosted) -> Reading:
    network = model.bundle.model
    assert isinstance(network, ManyToOne | LanguageModel)
    device = next(network.parameters()).device
    layers = []
    for number, layer in enumerate(network.recurrent.parts):
        assert isinstance(layer, Recurrent)
        kind = layer.state_type
        layers.append(kind(*(tensors[f"{number}.{name}"].to(device) for name in kind._fields)))
    return Reading(StackState(tuple(layers)), tensors["kept"].to(device), header["steps"], header["waiting"])


def _refused(why: str) -> Refusal:
    return Refusal(
        422,
        "bad_state",
        f"the state cannot be used: {why}",
        field="state",
        hint="give back the last one, or none to begin",
    )
