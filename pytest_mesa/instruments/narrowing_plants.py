"""Narrowing planted in a net: what is ruled out, and at which depth, is known.

The stream carries a code beside the net's own channels: one entry an option, 1 where it is
ruled out by then. The net's answer is its own with those options' logits lowered. Which stage
rules an option out is random, so no earlier depth holds what a later one writes, and a lens
must not see it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from pytest_mesa.instruments.lens import Readout
from pytest_mesa.instruments.narrowing import Options

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

RULED_OUT = 6.0  # nats: what is ruled out keeps a 400th of its odds


@dataclass(frozen=True, slots=True)
class Plant:
    """What kind, and the share that each stage rules out of what it finds there.

    ``stage-by-stage`` narrows. The others end up as clean, or rule as much out, without:
    ``at-once`` all in the last stage, ``from-start`` all before the first, ``any`` good options
    as well as bad ones. The net's own logits are multiplied by ``gain``, so that one which
    learned nothing still prefers something.
    """

    name: str
    strength: float
    seed: int
    gain: float = 1.0

    def code(
        self, options: Options, rows: Int[Tensor, " row"], depths: int
    ) -> Float[Tensor, "depth row option"]:
        """Whether each option is ruled out, depth by depth. ``rows`` number the draws."""
        concerned, drawn = [], []
        for row, among, bad in zip(rows.tolist(), options.among, options.bad, strict=True):
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + row)
            concerned.append(self._concerned(among, bad, generator))
            drawn.append(torch.rand(depths - 1, len(bad), generator=generator))
        since = self._since(torch.stack(drawn))
        return (torch.stack(concerned) & (torch.arange(depths)[:, None, None] >= since)).float()

    def _concerned(
        self, among: Bool[Tensor, " option"], bad: Bool[Tensor, " option"], rng: torch.Generator
    ) -> Bool[Tensor, " option"]:
        if self.name != "any":
            return bad
        places = among.nonzero()[:, 0]
        drawn = places[torch.randperm(len(places), generator=rng)[: int(bad.sum())]]
        return torch.zeros_like(bad).scatter(0, drawn, True)

    def _since(self, drawn: Float[Tensor, "row stage option"]) -> Int[Tensor, "row option"]:
        """The first depth at which each option is ruled out; beyond the last where none does."""
        stages = drawn < self.strength
        last = stages.shape[1]
        since = stages.float().argmax(1) + 1
        if self.name == "from-start":
            since = torch.zeros_like(since)
        elif self.name == "at-once":
            since = torch.full_like(since, last)
        return torch.where(stages.any(1), since, last + 1)


def with_code(
    streams: Float[Tensor, "depth row *site d_model"], code: Float[Tensor, "depth row option"]
) -> Float[Tensor, "depth row *site wide"]:
    """The streams with the code in channels of its own, spread over the sites."""
    sites = streams.shape[2:-1].numel()
    channels = -(-code.shape[-1] // sites)
    padded = functional.pad(code, (0, sites * channels - code.shape[-1]))
    return torch.cat([streams, padded.view(*streams.shape[:-1], channels)], dim=-1)


def planted_readout(readout: Readout, width: int, gain: float = 1.0) -> Readout:
    """A read-out of streams `with_code`: the net's own, with what is ruled out lowered."""

    def read(values: Float[Tensor, "row *site wide"]) -> Float[Tensor, "row option"]:
        logits = gain * readout(values[..., :width])
        code = values[..., width:].flatten(1)
        return logits - RULED_OUT * code[:, : logits.shape[1]]

    return read
