"""The weights of a model from a file: exactly its own, all of them numbers."""

from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from seqloom.errors import BundleError
from seqloom.models import AnyModel, LanguageModel, TextDecoder


def fill(model: AnyModel, data: bytes, *, name: str) -> None:
    """Give a model on the meta device the weights of a file. Raises BundleError unless these are exactly its own."""
    try:
        weights = safetensors.torch.load(data)
    except (SafetensorError, KeyError) as error:  # KeyError: a type of number that torch has not
        raise BundleError(f"{name} is not a safetensors file: {error}.") from None
    expected = dict(model.named_parameters())
    for problem, names in {
        "missing": expected.keys() - weights.keys(),
        "unknown": weights.keys() - expected.keys(),
        "of the wrong shape or type": {
            key for key in expected.keys() & weights.keys() if not _alike(expected[key], weights[key])
        },
    }.items():
        if names:
            raise BundleError(
                f"{name}: tensors {problem}: {', '.join(sorted(names)[:5])}. It belongs to another model."
            )
    check_finite(weights, advice="Such a model is not loaded.")
    model.load_state_dict(weights, assign=True, strict=False)  # compared above; what is shared has one name of several
    if isinstance(model, TextDecoder | LanguageModel):
        model.tie()


def check_finite(weights: Mapping[str, Tensor], *, advice: str) -> None:
    """Raise BundleError for a weight that is no number."""
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BundleError(f"the tensor {name} holds a NaN or an infinity. {advice}")


def _alike(expected: Tensor, given: Tensor) -> bool:
    return expected.shape == given.shape and expected.dtype == given.dtype
