"""Spike-in: plant the looked-for effect in the subject itself, at a known strength.

A few directions that the net hardly uses become a private channel: its blocks see them at
their mean, and what is written there passes on untouched. A code of the algorithm's state is
written at one site, and at the output a known share of the inputs is answered from that code.
A detector that misses the planted effect would miss a real one of that strength.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.past import Continuing, Past
from pytest_mesa.instruments.stream import (
    Site,
    Stream,
    entering,
    find_blocks,
    stream_of,
    with_stream,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Plant:
    """What is planted.

    Args:
        site: where the code is written (a layer of at least 1).
        code: ids → ``(batch, rank)`` code of the state, of about unit scale.
        answer: code and ids → logits ``(batch, vocabulary)`` at the answer's position.
        chosen: ids → mask of the inputs that the planted effect answers.
    """

    site: Site
    code: Callable[[Tensor], Tensor]
    answer: Callable[[Tensor, Tensor], Tensor]
    chosen: Callable[[Tensor], Bool[Tensor, " batch"]]


def chosen_share(share: float, salt: int) -> Callable[[Tensor], Bool[Tensor, " batch"]]:
    """A fixed pseudo-random ``share`` of all inputs: a hash of the ids, not a draw."""

    def choose(ids: Int[Tensor, "batch pos"]) -> Bool[Tensor, " batch"]:
        mixed = torch.full((len(ids),), salt * 2 + 1, dtype=torch.int64)
        for column in ids.T:
            mixed = (mixed * 6364136223846793005 + column * 2 + 1442695040888963407) ^ (mixed >> 29)
        return ((mixed >> 33) & 0xFFFFFF).double() / 0x1000000 < share

    return choose


def quiet_directions(
    captured: Float[Tensor, "layer batch pos d_model"], rank: int
) -> Float[Tensor, "d_model rank"]:
    """The directions along which the stream varies least, over all layers and positions."""
    flat = captured.flatten(0, 2)
    covariance = torch.cov(flat.T.double())
    vectors: Tensor = torch.linalg.eigh(covariance).eigenvectors
    return vectors[:, :rank].float()


class SpikedNet(nn.Module):
    """A copy of a subject with an effect planted. Maps ids to logits as the subject does."""

    def __init__(
        self, module: nn.Module, plant: Plant, captured: Float[Tensor, "layer batch pos d_model"]
    ) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)
        self.plant = plant
        rank = plant.code(torch.zeros(1, captured.shape[2], dtype=torch.int64)).shape[1]
        self.private = quiet_directions(captured, rank)
        self.means = (captured @ self.private).mean((1, 2))
        # As loud as the stream's typical direction at that site, neither hidden nor shouting.
        self.scale = float(captured[plant.site.layer, :, plant.site.position].std(0).median())
        self._ids = torch.zeros(0)
        self._first = 0
        self._read: list[Tensor] = []
        self.blocks = find_blocks(self.module)
        for layer, block in enumerate(self.blocks):
            block.forward = self._planted(layer, block.forward)

    def forward(
        self, ids: Int[Tensor, "batch pos"], past: Past | None = None
    ) -> Float[Tensor, "batch pos vocabulary"]:
        """The subject's logits; those of chosen inputs from the planted code."""
        self._ids, self._first = ids, 0 if past is None else past.length
        self._read.clear()
        before = () if past is None else (replace(past, kept=past.kept[:-1]),)
        logits: Tensor = self.module(ids, *before)
        if not self._read:  # a run resumed after the last block never passed the channel
            return logits
        channel, position = self._read[0], self.plant.site.position - self._first
        if past is not None and position < 0:
            channel, position = past.kept[-1][0][:, 0], self.plant.site.position
        planted = self.plant.answer(channel[:, position] / self.scale, ids)
        answer = torch.where(self.plant.chosen(ids)[:, None], planted, logits[:, -1])
        return torch.cat([logits[:, :-1], answer[:, None]], dim=1)

    def remember(self, ids: Int[Tensor, "batch pos"]) -> Past | None:
        """A whole run; the subject's own past, and as one more block, the channel."""
        if not isinstance(self.module, Continuing):
            self(ids)
            return None
        self._ids, self._first = ids, 0
        self._read.clear()
        past = self.module.remember(ids)
        return past and replace(past, kept=(*past.kept, (self._read[0][:, None],)))

    def _planted(self, layer: int, inner: Callable[..., Any]) -> Callable[..., Any]:
        private = self.private
        site = self.plant.site

        def forward(*args: Any, **kwargs: Any) -> Any:
            stream = entering(args, kwargs)
            channel = stream @ private
            seen = stream - (channel - self.means[layer]) @ private.T
            if args:
                output = inner(seen, *args[1:], **kwargs)
            else:
                output = inner(**(kwargs | {"hidden_states": seen}))
            after = stream_of(output)
            position = site.position - self._first
            if layer + 1 == site.layer and position >= 0:
                place = torch.zeros(after.shape[1])
                place[position] = 1.0
                code = self.scale * self.plant.code(self._ids)
                keep = (1.0 - place)[None, :, None]
                channel = channel * keep + code[:, None, :] * place[None, :, None]
            if layer + 1 == len(self.blocks):
                self._read.append(channel)
                channel = self.means[layer + 1].expand_as(channel)
            return with_stream(output, after + (channel - after @ private) @ private.T)

        return forward


def spiked_stream(stream: Stream, plant: Plant, ids: Int[Tensor, "batch pos"]) -> Stream:
    """The stream of a copy of the subject with an effect planted; ``ids`` sets the scale."""
    net = SpikedNet(stream.module, plant, stream.capture(ids))
    return Stream(net, net.blocks)
