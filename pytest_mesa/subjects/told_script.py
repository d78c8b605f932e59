"""What a chess net in words can say after a listing: its legal moves, letter by letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pytest_mesa.subjects.told_tokens import END, VOCABULARY

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

UNHEARD = -700.0  # nats: what the net never says, far below any legal move


@dataclass(frozen=True)
class Script:
    """What can be said after one listing and what is written of an answer.

    ``start`` is how many tokens the listing has, and ``count`` the number of positions from its
    last token on. ``slots`` are tokens at these, numbered through, that some legal move has
    next; ``adds`` says which of them is each move's at each position, or one beyond all where
    something else than that move is written.
    """

    start: int
    count: int
    indices: Int[Tensor, " move"]
    slots: Int[Tensor, " slot"]
    adds: Int[Tensor, "position move"]

    @classmethod
    def of(cls, start: int, legal: Mapping[int, Sequence[int]], written: Sequence[int]) -> Script:
        """From the legal moves' tokens by their policy indices, and the tokens written."""
        positions = len(written) + 1
        lost = positions * VOCABULARY
        slots = torch.full((positions, len(legal)), lost)
        for place, tokens in enumerate(legal.values()):
            for letter, token in enumerate((*tokens, END)):
                if letter >= positions or list(tokens[:letter]) != list(written[:letter]):
                    break
                slots[letter, place] = letter * VOCABULARY + token
        used, adds = slots.unique(return_inverse=True)
        return cls(
            start, positions, torch.tensor(list(legal), dtype=torch.long), used[used < lost], adds
        )

    def said(
        self, policy: Float[Tensor, " 1858"], kept: Int[Tensor, " kept"]
    ) -> Float[Tensor, "kept vocabulary"]:
        """Next-token logits; all alike inside the listing and where an answer went astray."""
        shares = policy[self.indices].double().softmax(0)
        chances = torch.zeros(len(self.slots) + 1, dtype=torch.double)
        chances.index_add_(0, self.adds.flatten(), shares.repeat(self.count))
        heard = chances[:-1] > 0
        slots, likely = self.slots[heard], chances[:-1][heard].log().clamp_min(UNHEARD)
        table = torch.zeros(self.count, VOCABULARY)
        table[slots // VOCABULARY] = UNHEARD
        table.view(-1)[slots] = likely.float()
        at = kept - (self.start - 1)
        inside = (at >= 0) & (at < self.count)
        found = torch.zeros(len(kept), VOCABULARY)
        found[inside] = table[at[inside]]
        return found
