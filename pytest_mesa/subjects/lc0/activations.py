"""lc0's activation functions by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_mesa.subjects.lc0.formats import Activation

Function = Callable[[Tensor], Tensor]


def _none(x: Tensor) -> Tensor:
    return x


def _relu_squared(x: Tensor) -> Tensor:
    return F.relu(x).square()


FUNCTIONS: Mapping[Activation, Function] = MappingProxyType(
    {
        Activation.MISH: F.mish,
        Activation.RELU: F.relu,
        Activation.NONE: _none,
        Activation.TANH: torch.tanh,
        Activation.SIGMOID: torch.sigmoid,
        Activation.SELU: F.selu,
        Activation.SWISH: F.silu,
        Activation.RELU_2: _relu_squared,
    }
)
