"""The residual tower: convolutions with squeeze and excitation, read square by square."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.subjects.lc0.activations import FUNCTIONS, Function
from pytest_mesa.subjects.lc0.formats import NetFormat
from pytest_mesa.subjects.lc0.layers import Layers
from pytest_mesa.subjects.lc0.messages import Record
from pytest_mesa.subjects.lc0.planes import PLANES

if TYPE_CHECKING:
    from jaxtyping import Float


def to_board(stream: Float[Tensor, "batch 64 channel"]) -> Float[Tensor, "batch channel 8 8"]:
    """A stream as images. A view: torch calls this memory layout channels-last."""
    board: Tensor = stream.unflatten(1, (8, 8))
    return board.permute(0, 3, 1, 2)


def to_stream(board: Float[Tensor, "batch channel 8 8"]) -> Float[Tensor, "batch 64 channel"]:
    """The inverse of `to_board`."""
    return board.permute(0, 2, 3, 1).flatten(1, 2)


class SqueezeExcitation(nn.Module):
    """A gain and an offset for each channel, from all channels' means over the board."""

    def __init__(self, squeeze: nn.Linear, excite: nn.Linear, activation: Function) -> None:
        super().__init__()
        self.squeeze = squeeze
        self.excite = excite
        self.activation = activation

    def forward(
        self, board: Float[Tensor, "batch channel 8 8"]
    ) -> Float[Tensor, "batch channel 8 8"]:
        """The board, rescaled and shifted."""
        means = board.mean((2, 3))
        gain, offset = self.excite(self.activation(self.squeeze(means))).chunk(2, dim=1)
        scaled: Tensor = board * torch.sigmoid(gain)[..., None, None] + offset[..., None, None]
        return scaled


class ResidualBlock(nn.Module):
    """Two convolutions, squeeze and excitation where the net has it, and the skip around them.

    The residual stream is what leaves the block, after the activation.
    """

    def __init__(
        self,
        first: nn.Conv2d,
        second: nn.Conv2d,
        excitation: SqueezeExcitation | None,
        activation: Function,
    ) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.excitation = excitation
        self.activation = activation

    def forward(
        self, stream: Float[Tensor, "batch 64 channel"]
    ) -> Float[Tensor, "batch 64 channel"]:
        """The stream behind this block."""
        board = to_board(stream)
        change = self.second(self.activation(self.first(board)))
        if self.excitation is not None:
            change = self.excitation(change)
        return to_stream(self.activation(board + change))


class InputConvolution(nn.Module):
    """Planes to the stream that enters the first block."""

    def __init__(self, convolution: nn.Conv2d, activation: Function) -> None:
        super().__init__()
        self.convolution = convolution
        self.activation = activation

    def forward(self, planes: Float[Tensor, "batch 112 8 8"]) -> Float[Tensor, "batch 64 channel"]:
        """The stream before any block."""
        board = self.convolution(planes.contiguous(memory_format=torch.channels_last))
        return to_stream(self.activation(board))


def build_tower(
    weights: Record, form: NetFormat, layers: Layers
) -> tuple[InputConvolution, list[ResidualBlock], int]:
    """Input convolution, blocks and number of channels.

    Raises:
        SubjectError: a part missing or of the wrong size.
    """
    activation = FUNCTIONS[form.activation]
    entry = layers.convolution(weights, "input", PLANES, 3)
    channels = entry.out_channels
    blocks = [_block(each, channels, activation, layers) for each in weights.messages("residual")]
    return InputConvolution(entry, activation), blocks, channels


def _block(record: Record, channels: int, activation: Function, layers: Layers) -> ResidualBlock:
    excitation = None
    if "se" in record:
        unit = record.message("se")
        width = layers.size(unit, "b1")
        excitation = SqueezeExcitation(
            layers.numbered(unit, "1", channels, width),
            layers.numbered(unit, "2", width, 2 * channels),
            activation,
        )
    first = layers.convolution(record, "conv1", channels, 3, channels)
    second = layers.convolution(record, "conv2", channels, 3, channels)
    return ResidualBlock(first, second, excitation, activation)
