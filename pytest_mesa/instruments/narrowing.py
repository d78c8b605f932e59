"""How a net's space of options narrows from depth to depth, as a lens reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.instruments.lens import Lens

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

CUT = 0.02  # the share of bad mass that a stage must remove to count: less changes nothing
NOTHING = 1e-6  # mass that counts as none, so that nothing of nothing is all of it


@dataclass(frozen=True, slots=True)
class Options:
    """Per row, the options that probability is shared out among, and the bad ones of these."""

    among: Bool[Tensor, "row option"]
    bad: Bool[Tensor, "row option"]


@dataclass(frozen=True, slots=True)
class Read:
    """What a lens reads of some options at every depth.

    ``mass``: the share of probability on bad ones. ``choice``: the most likely one at the last
    depth. ``commit``: from which depth on it is that, from 0 (always) to 1 (only at the end).
    """

    mass: Float[Tensor, "row depth"]
    choice: Int[Tensor, " row"]
    commit: Float[Tensor, " row"]


def read_options(
    lens: Lens, streams: Float[Tensor, "depth row *site d_model"], options: Mapping[str, Options]
) -> dict[str, Read]:
    """Read each set of options at every depth.

    Raises:
        SiteError: the depths are not those that the lens was fitted for.
    """
    masses: dict[str, list[Tensor]] = {name: [] for name in options}
    tops: dict[str, list[Tensor]] = {name: [] for name in options}
    for logits in lens.by_layer(streams):
        for name, each in options.items():
            within = logits.float().masked_fill(~each.among, -torch.inf)
            shares = within.softmax(-1)
            masses[name].append((shares * each.bad).sum(-1))
            tops[name].append(within.argmax(-1))
    return {
        name: Read(torch.stack(masses[name], 1), top[-1], commitment(torch.stack(top, 1)))
        for name, top in tops.items()
    }


def commitment(tops: Int[Tensor, "row depth"]) -> Float[Tensor, " row"]:
    """From which depth on a row's top option is its last one, from 0 to 1."""
    same = tops == tops[:, -1:]
    # Counted from the end: how many depths in a row agree with the last.
    agreed = same.flip(1).cumprod(1).sum(1)
    depths = tops.shape[1]
    return (depths - agreed).float() / max(depths - 1, 1)


def fall(
    mass: Float[np.ndarray, "unit depth"], twin: Float[np.ndarray, "unit depth"]
) -> Float[np.ndarray, " unit"]:
    """By how much less bad mass a net leaves than its twin, each as a share of its first depth's.

    ``(t - n) / (t + n)`` of what the twin and the net leave: 0 where they leave the same share,
    1/3 where the net leaves half of what the twin does, 1 where it leaves nothing. It has the
    same size, with the other sign, where the two change places.
    """
    own, other = _left(mass[:, 0], mass[:, -1]), _left(twin[:, 0], twin[:, -1])
    return np.asarray((other - own) / (other + own))


def by_stage(
    mass: Float[np.ndarray, "unit depth"],
    twin: Float[np.ndarray, "unit depth"],
    cut: float = CUT,
) -> Float[np.ndarray, " unit"]:
    """How far the cuts are spread over the stages.

    Stages that cut more than the twin's, less those that cut less, beyond the one that any fall
    takes, as a share of the others: 1 where every stage cuts, 0 where one does it all and the
    others do nothing, ``-1 / (stages - 1)`` where none does. At least `least_spread`.
    """
    own, other = _left(mass[:, :-1], mass[:, 1:]), _left(twin[:, :-1], twin[:, 1:])
    cuts = ((own < (1 - cut) * other) * 1.0 - (other < (1 - cut) * own)).sum(1)
    return np.asarray((cuts - 1) / (own.shape[1] - 1))


def least_spread(stages: int) -> float:
    """The least value of `by_stage`: every stage adds."""
    return -(stages + 1) / (stages - 1)


def _left(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What is left, as a share."""
    return np.asarray((after + NOTHING) / (before + NOTHING))


def depths(layers: int, stages: int) -> list[int]:
    """The layers at the ends of so many equal stages; every layer where there are no more."""
    ends = np.linspace(0, layers, min(stages, layers) + 1)
    return [int(end) for end in ends.round()]
