"""From the file's layers to torch modules: numbers decoded, sizes checked, norms folded in."""

from __future__ import annotations

from math import isfinite, prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.messages import Record

if TYPE_CHECKING:
    from jaxtyping import Float

BN_EPSILON = 1e-5  # lc0's, inside the root
LINEAR16, FLOAT16, BFLOAT16, FLOAT32 = 1, 2, 3, 4
_WIDTHS = {LINEAR16: 2, FLOAT16: 2, BFLOAT16: 2, FLOAT32: 4}


class Layers:
    """Decodes layers. ``encoding`` is the file's, for layers that name none of their own."""

    def __init__(self, encoding: int) -> None:
        self.encoding = encoding

    def size(self, record: Record, name: str) -> int:
        """How many numbers a layer has; 0 where it is absent.

        Raises:
            SubjectError: an unknown encoding, or half a number.
        """
        layer = record.message(name)
        if not len(layer.raw("params")):
            return 0
        width = _WIDTHS.get(self._encoding(layer))
        if width is None:
            raise SubjectError(
                f"{layer.path} has the encoding {self._encoding(layer)}; known are "
                "1 LINEAR16, 2 FLOAT16, 3 BFLOAT16, 4 FLOAT32"
            )
        size, rest = divmod(len(layer.raw("params")), width)
        if rest:
            raise SubjectError(f"{layer.path} ends inside a number")
        return size

    def _encoding(self, layer: Record) -> int:
        return layer.number("encoding") if "encoding" in layer else self.encoding

    def tensor(self, record: Record, name: str, *shape: int) -> Float[Tensor, " ..."]:
        """A layer's numbers in a shape.

        Raises:
            SubjectError: missing, of another size, or with a number that is not finite.
        """
        size = self.size(record, name)
        place = record.within(name)
        if not size:
            raise SubjectError(f"{place} is missing")
        if size != prod(shape):
            raise SubjectError(
                f"{place} has {size:,} numbers, expected {' × '.join(map(str, shape))}"
            )
        values = self._decode(record.message(name))
        if not bool(torch.isfinite(values).all()):
            raise SubjectError(f"{place} has numbers that are not finite")
        return values.view(shape)

    def _decode(self, layer: Record) -> Float[Tensor, " size"]:
        raw = layer.raw("params")
        encoding = self._encoding(layer)
        if encoding == FLOAT32:
            return torch.from_numpy(np.frombuffer(raw, "<f4").astype(np.float32))
        if encoding == FLOAT16:
            return torch.from_numpy(np.frombuffer(raw, "<f2").astype(np.float32))
        if encoding == BFLOAT16:
            upper = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
            return torch.from_numpy(upper.view(np.float32))
        low, high = layer.real("min_val"), layer.real("max_val")
        if not (isfinite(low) and isfinite(high)):
            raise SubjectError(f"{layer.path} has the bounds {low} and {high}")
        share = torch.from_numpy(np.frombuffer(raw, "<u2").astype(np.float32)) / 0xFFFF
        return share * (high - low) + low

    def linear(self, record: Record, name: str, inputs: int, outputs: int = 0) -> nn.Linear:
        """The map ``{name}_w`` with the bias ``{name}_b``, whose size tells unknown outputs."""
        return self._linear(record, f"{name}_w", f"{name}_b", inputs, outputs)

    def numbered(self, record: Record, number: str, inputs: int, outputs: int) -> nn.Linear:
        """The map ``w{number}`` with the bias ``b{number}``."""
        return self._linear(record, f"w{number}", f"b{number}", inputs, outputs)

    def _linear(
        self, record: Record, weight: str, bias: str, inputs: int, outputs: int
    ) -> nn.Linear:
        width = outputs or self.size(record, bias)
        offset = self.tensor(record, bias, width)
        return dense(self.tensor(record, weight, width, inputs), offset)

    def norm(self, record: Record, name: str, width: int, epsilon: float) -> nn.LayerNorm:
        """The layer norm ``{name}_gammas``, ``{name}_betas``."""
        norm = nn.LayerNorm(width, epsilon, device="meta")
        norm.weight = parameter(self.tensor(record, f"{name}_gammas", width))
        norm.bias = parameter(self.tensor(record, f"{name}_betas", width))
        return norm

    def convolution(
        self, record: Record, name: str, inputs: int, kernel: int, outputs: int = 0
    ) -> nn.Conv2d:
        """A convolution on the board, its batch norm folded in; biases tell unknown outputs.

        Raises:
            SubjectError: a part missing or of the wrong size, or a negative variance.
        """
        block = record.message(name)
        outputs = outputs or self.size(block, "biases") or self.size(block, "bn_means")
        if not outputs:
            raise SubjectError(f"{block.path} is missing")
        weight = self.tensor(block, "weights", outputs, inputs, kernel, kernel)
        bias = self._or_constant(block, "biases", outputs, 0.0)
        if self.size(block, "bn_means"):
            variance = self.tensor(block, "bn_stddivs", outputs)
            beta = self._or_constant(block, "bn_betas", outputs, 0.0)
            gamma = self._or_constant(block, "bn_gammas", outputs, 1.0)
            gain = gamma / torch.sqrt(variance + BN_EPSILON)
            if not bool(torch.isfinite(gain).all()):
                raise SubjectError(f"{block.within('bn_stddivs')} has a negative variance")
            weight = weight * gain[:, None, None, None]
            bias = gain * (bias - self.tensor(block, "bn_means", outputs)) + beta
            if not bool(torch.isfinite(weight).all() and torch.isfinite(bias).all()):
                raise SubjectError(f"{block.path} overflows once its batch norm is folded in")
        made = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, device="meta")
        made.weight, made.bias = parameter(weight), parameter(bias)
        return made

    def pointwise(self, record: Record, name: str, inputs: int) -> nn.Linear:
        """A 1 × 1 convolution, as the linear map at each square that it is."""
        made = self.convolution(record, name, inputs, 1)
        return dense(made.weight.flatten(1), made.bias)

    def _or_constant(
        self, record: Record, name: str, size: int, default: float
    ) -> Float[Tensor, " size"]:
        if self.size(record, name):
            return self.tensor(record, name, size)
        return torch.full((size,), default)


def dense(weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"] | None = None) -> nn.Linear:
    """A linear map with given weights."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    made.weight = parameter(weight)
    if bias is not None:
        made.bias = parameter(bias)
    return made


def parameter(value: Tensor) -> nn.Parameter:
    """Weights that no optimiser moves."""
    return nn.Parameter(value.detach().contiguous(), requires_grad=False)
