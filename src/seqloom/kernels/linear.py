"""x W + b for heads, attention and softmax by the compiled core: a row's result does not depend on the other rows.

torch's own product chooses its order of summing by the number of rows, so that a sentence alone and the same sentence
in a batch get answers that differ in the last bits.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from seqloom.errors import ConfigError
from seqloom.kernels import native
from seqloom.kernels.packing import matrix, pack_matrix
from seqloom.kernels.recurrence import address, empty
from seqloom.shapes import Float

NO_CORE = native.reason()
FEW_ROWS = 256


def linear(
    x: Float[Tensor, "*shape I"], weight: Float[Tensor, "I O"], *, bias: Float[Tensor, " O"] | None = None
) -> Float[Tensor, "*shape O"]:
    """x W + b, each output one sum in one order: float32 on the CPU, to the bit for any batch and number of threads.

    Elsewhere (another dtype or device, autocast, torch.compile, torch.func, no compiled core) it is torch's product.
    """
    return linears(x, (weight,), (bias,))[0]


def linears(
    x: Float[Tensor, "*shape I"], weights: Sequence[Tensor], biases: Sequence[Tensor | None]
) -> tuple[Float[Tensor, "*shape O"], ...]:
    """`linear` of one x by each of the weights: one node of the graph, whose gradients of x are added up on the way."""
    if not all(fits(x, *each) for each in zip(weights, biases, strict=True)):
        pairs = zip(weights, biases, strict=True)
        return tuple(torch.nn.functional.linear(x, weight.t(), bias) for weight, bias in pairs)
    rows = x.reshape(-1, x.shape[-1])
    learned = any(part is not None and part.requires_grad for part in (x, *weights, *biases))
    if learned and torch.is_grad_enabled():
        products: tuple[Tensor, ...] = _Linear.apply(rows, *weights, *biases)  # type: ignore[no-untyped-call]  # torch has no types for it
    else:
        # Weights that are only read are often read again; of many rows packing is the least part.
        kept = len(rows) < FEW_ROWS
        pairs = zip(weights, biases, strict=True)
        products = tuple(_product(rows, weight, bias, kept=kept) for weight, bias in pairs)
    return tuple(product.view(*x.shape[:-1], product.shape[1]) for product in products)


class Prepared:
    """x W + b for one weight, packed once: for answers step after step, where packing costs more than the product.

    Where the core computes it has the weights as they were when it was made. No gradient is recorded. In float32 it
    gives the bits of `linear`. In 8 bits, a quarter of the memory, weights are rounded by column and x by row: a row
    still does not depend on the others. Raises ConfigError where the core has to do this and cannot.
    """

    def __init__(
        self,
        weight: Float[Tensor, "I O"],
        bias: Float[Tensor, " O"] | None = None,
        *,
        weights: Literal["float32", "int8"] = "float32",
    ) -> None:
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach().clone()
        self._shape, self._int8 = weight.shape, weights == "int8"
        parts = [part for part in (self._weight, self._bias) if part is not None]
        self._packed: Any = None
        if not NO_CORE and native.readable(*parts):
            self._packed = pack_matrix(self._weight, int8=self._int8)
            self._multiply = native.core().linear_int8 if self._int8 else native.core().linear
        elif self._int8:
            why = NO_CORE or f"it takes float32 on the CPU, not {weight.dtype} on {weight.device}"
            self._refuse(why)
        else:
            self._weight = self._weight.clone()

    def __call__(self, x: Float[Tensor, "*shape I"]) -> Float[Tensor, "*shape O"]:
        """x W + b. With int8 weights, raises ConfigError where torch must see each operation."""
        possible = self._packed is not None and not observed()
        if not possible or x.dim() == 0 or x.shape[-1] != self._shape[0] or not native.readable(x):
            if self._int8:
                self._refuse(f"x is {x.dtype} {tuple(x.shape)} on {x.device}, or torch must see each operation")
            with torch.no_grad():
                return torch.nn.functional.linear(x, self._weight.t(), self._bias)
        rows = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
        rows = rows if rows.stride(-1) == 1 else rows.contiguous()
        product = rows.new_empty(len(rows), self._shape[1])
        addresses = (0 if self._bias is None else self._bias.data_ptr(), product.data_ptr())
        self._multiply(self._packed, len(rows), rows.data_ptr(), rows.stride(0), *addresses, torch.get_num_threads())
        return product if x.dim() == 2 else product.view(*x.shape[:-1], self._shape[1])

    @property
    def columns(self) -> int:
        """The numbers of a row of results."""
        return self._shape[1]

    def projection(self) -> Any:
        """The same for the core's own loops; None where torch computes."""
        if self._packed is None:
            return None
        exact, rounded = (None, self._packed) if self._int8 else (self._packed, None)
        bias = 0 if self._bias is None else self._bias.data_ptr()
        return native.core().Projection(exact, rounded, *self._shape, bias)

    def _refuse(self, why: str) -> None:
        raise ConfigError(
            f'Linear.prepared: weights are "int8", which only the compiled core reads, but {why}. '
            'Use weights="float32".'
        )


def observed() -> bool:
    """Whether torch must see each operation, or has another product than that of float32."""
    if NO_CORE or torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return True
    if torch._C._len_torch_dispatch_stack() or torch._C._are_functorch_transforms_active():
        return True
    return forward_ad._current_level >= 0 or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def fits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether the core can do this, and nobody must see each operation of torch."""
    if observed() or x is None or not native.readable(x, weight, bias):
        return False
    sizes = x.dim() > 0 and weight.dim() == 2 and x.shape[-1] == weight.shape[0]
    return sizes and (bias is None or bias.shape == weight.shape[1:])


class _Linear(Function):
    """Of x, all weights, and as many biases."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parts: Tensor | None) -> tuple[Tensor, ...]:
        weights, biases = parts[: len(parts) // 2], parts[len(parts) // 2 :]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *weights)
        pairs: Any = zip(weights, biases, strict=True)
        products = tuple(_product(x, weight, bias) for weight, bias in pairs)
        for_x, *wanted = ctx.needs_input_grad
        learned = [for_x or any(wanted[at :: len(weights)]) for at in range(len(weights))]
        ctx.mark_non_differentiable(*(y for y, learns in zip(products, learned, strict=True) if not learns))
        return products

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        for_x, *wanted = ctx.needs_input_grad
        of_x: Tensor | None = None
        of_parts: list[Tensor | None] = [None] * len(wanted)
        for weight_at, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            if gradient is None:
                continue
            bias_at = weight_at + len(weights)
            by_torch = torch.is_grad_enabled() or not fits(gradient, weight.t(), None)  # to be differentiated again
            if for_x and by_torch:
                of_x = gradient @ weight.t() if of_x is None else of_x + gradient @ weight.t()
            elif for_x:
                of_x = _product(gradient, weight.t(), None, onto=of_x)
            if wanted[weight_at] or wanted[bias_at]:
                of_weight, of_bias = (x.t() @ gradient, gradient.sum(0)) if by_torch else outer(x, gradient)
                of_parts[weight_at] = of_weight if wanted[weight_at] else None
                of_parts[bias_at] = of_bias if wanted[bias_at] else None
        return of_x, *of_parts


def _product(
    x: Float[Tensor, "R I"],
    weight: Float[Tensor, "I O"],
    bias: Tensor | None,
    *,
    kept: bool = False,
    onto: Float[Tensor, "R O"] | None = None,
) -> Float[Tensor, "R O"]:
    """x W + b; or, added in its place, onto + x W."""
    core = native.core()
    x = x if x.stride(-1) == 1 else x.contiguous()
    bias = None if bias is None else bias.contiguous()
    product = empty(x.shape[0], weight.shape[1]) if onto is None else onto
    panels = pack_matrix(weight) if kept else matrix(weight)
    start = (address(bias), 0) if onto is None else (onto.data_ptr(), onto.stride(0))
    places = (x.data_ptr(), x.stride(0), start[0], product.data_ptr())
    core.linear(panels, x.shape[0], *places, torch.get_num_threads(), start[1])
    return product


def outer(x: Float[Tensor, "R I"], gradient: Float[Tensor, "R O"]) -> tuple[Tensor, Tensor]:
    """x' gradient and the column sums of the gradient."""
    x, gradient = (part if part.stride(-1) == 1 else part.contiguous() for part in (x, gradient))
    columns = gradient.shape[1]
    product, sums = empty(x.shape[1], columns), empty(columns)
    native.core().outer(
        *(x.shape[0], x.data_ptr(), x.stride(0), x.shape[1]),
        *(gradient.data_ptr(), gradient.stride(0), columns),
        *(product.data_ptr(), sums.data_ptr(), torch.get_num_threads()),
    )
    return product, sums
