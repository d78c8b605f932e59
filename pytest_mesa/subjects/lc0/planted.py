"""A chess net with look-ahead written into it, carried beside its own stream.

The stream gets a few channels that the net's own blocks never see. All squares hold what the
net knows of the line (`Programme`), so that patching one of them changes none of it; one block
writes a code at the target of the third ply, the same or a later one at that of the fifth, and
the first move's logit rises as far as the codes are still there when the policy is read.

The kinds: ``tree`` writes the fifth ply two thirds up the net, by the same vector, where the
third ply's code stands; ``look-ahead`` writes both at once; ``unlike`` is ``tree`` with another
vector for the fifth ply; ``elsewhere`` writes one code at a square of no move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.subjects.lc0.net import Lc0Net

if TYPE_CHECKING:
    from jaxtyping import Float

    from pytest_mesa.subjects.lc0.programme import Programmes

CODE = 4  # channels of the code
ROOM = CODE + 4  # and of the programme
BONUS = 2.0  # nats that the first move gains: about a legal move's spread in a trained net
LOUD = 3.0  # the code's length in standard deviations of the stream's channels
MOVES, SQUARES = 2048.0, 64.0  # scale the programme's numbers to 1

HOLDS, MOVE, THIRD, FIFTH = range(CODE, ROOM)


def _told(stream: Float[Tensor, "batch 64 wide"], channel: int) -> Float[Tensor, " batch"]:
    """What most squares say: no single square's patch changes it."""
    told: Tensor = stream[..., channel - ROOM].median(dim=1).values
    return told


def _at(stream: Float[Tensor, "batch 64 wide"], channel: int) -> Tensor:
    """One-hot of the square that the programme names; all zero for none."""
    square = (_told(stream, channel) * SQUARES).round()
    return (torch.arange(64) == square[:, None]).to(stream.dtype)


class _Entry(nn.Module):
    def __init__(self, inner: nn.Module, known: Programmes) -> None:
        super().__init__()
        self.inner = inner
        self.known = known

    def forward(self, planes: Float[Tensor, "batch 112 8 8"]) -> Float[Tensor, "batch 64 wide"]:
        stream = self.inner(planes)
        scales = torch.tensor([1.0, MOVES, SQUARES, SQUARES])
        programme = self.known.rows(planes) / scales
        spread = programme[:, None].expand(-1, stream.shape[1], -1)
        blank = torch.zeros(*stream.shape[:2], CODE)
        return torch.cat([stream, blank, spread.to(stream)], dim=-1)


class _Block(nn.Module):
    """A block, with the codes that are written behind it: pairs of square channel and vector."""

    def __init__(self, inner: nn.Module, writes: list[tuple[int, Tensor]], after: bool) -> None:
        super().__init__()
        self.inner = inner
        self.writes = writes
        self.after = after

    def forward(self, stream: Float[Tensor, "batch 64 wide"]) -> Float[Tensor, "batch 64 wide"]:
        own, room = stream[..., :-ROOM], stream[..., -ROOM:].clone()
        for channel, vector in self.writes:
            gate = _told(stream, HOLDS) > 0.5
            if self.after:  # the deeper ply's code stands on the shallower one's
                gate = gate & (self._strength(stream) > 0.5)
            where = _at(stream, channel) * gate[:, None]
            room[..., :CODE] += where[..., None] * vector
        return torch.cat([self.inner(own), room], dim=-1)

    def _strength(self, stream: Tensor) -> Tensor:
        code = stream[..., -ROOM : CODE - ROOM].norm(dim=-1)
        (_, vector), *_ = self.writes
        strength: Tensor = (code * _at(stream, THIRD)).sum(1) / vector.norm()
        return strength


class _Policy(nn.Module):
    def __init__(self, inner: nn.Module, length: float, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.inner = inner
        self.length = length
        self.channels = channels

    def forward(self, stream: Float[Tensor, "batch 64 wide"]) -> Float[Tensor, "batch 1858"]:
        logits: Tensor = self.inner(stream[..., :-ROOM])
        code = stream[..., -ROOM : CODE - ROOM].norm(dim=-1) / self.length
        marks = torch.stack([_at(stream, channel) for channel in self.channels])
        planted = marks.sum((0, 2)).clamp_min(1.0)
        present = (marks * code.clamp(max=1.0)).sum((0, 2)) / planted
        move = (_told(stream, MOVE) * MOVES).round().long()
        index = torch.arange(logits.shape[1]) == move[:, None]
        raised: Tensor = logits + BONUS * present[:, None] * index
        return raised


class _Narrow(nn.Module):
    """A head that reads the net's own stream only."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, stream: Float[Tensor, "batch 64 wide"]) -> Tensor:
        out: Tensor = self.inner(stream[..., :-ROOM])
        return out


class PlantedNet(Lc0Net):
    """A net with look-ahead of one kind planted; its stream is `ROOM` channels wider."""

    def __init__(self, net: Lc0Net, known: Programmes, plant: str) -> None:
        layers = len(net.blocks)
        early, late = max(1, layers // 3), max(2, 2 * layers // 3)
        third = torch.zeros(CODE)
        third[0] = _loudness(net) * LOUD
        fifth = third.roll(1) if plant == "unlike" else third
        ordered = plant in ("tree", "unlike")
        writes: dict[int, list[tuple[int, Tensor]]] = {early: [(THIRD, third)]}
        writes.setdefault(late if ordered else early, []).append((FIFTH, fifth))
        blocks = [
            _Block(block, writes.get(layer, []), after=ordered and layer == late)
            for layer, block in enumerate(net.blocks, start=1)
        ]
        length = float(third.norm())
        super().__init__(
            _Entry(net.entry, known),
            blocks,
            net.width + ROOM,
            _Policy(net.policy, length, (THIRD, FIFTH)),
            _Narrow(net.value),
            None if net.moves_left is None else _Narrow(net.moves_left),
        )


def _loudness(net: Lc0Net) -> float:
    """Standard deviation of a channel in the middle of the net, on noise."""
    generator = torch.Generator().manual_seed(0)
    planes = (torch.rand(4, 112, 8, 8, generator=generator) < 0.1).float()
    with torch.no_grad():
        stream = net.entry(planes)
        for block in list(net.blocks)[: len(net.blocks) // 2]:
            stream = block(stream)
    return float(stream.std((0, 1)).mean())
