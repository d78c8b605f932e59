"""A language model of known inside: it holds what it is told to where a prompt ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.subjects.scripted import ScriptedModel
from pytest_mesa.tasks.knapsack import words
from pytest_mesa.tasks.knapsack.instances import Instances

if TYPE_CHECKING:
    from jaxtyping import Float

    Held = Callable[[Instances], Float[np.ndarray, " quantity"]]


class Holding(ScriptedModel):
    """Solves exactly, holds quantities in one layer's stream, and noise in the other's."""

    label = "inside"
    model = torch.nn.Linear(2, 1)  # three numbers, for whoever counts them

    def __init__(self, held: Held, width: int, *, knows: float = 1.0) -> None:
        super().__init__("exact")
        self.held, self.width, self.knows = held, width, knows
        self.stream = self

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Ids and mask that say nothing, and prompts of different lengths."""
        lengths = torch.tensor([len(prompt) % 5 + 2 for prompt in prompts])
        ids = torch.zeros(len(prompts), 6, dtype=torch.long)
        self._posed = [words.read(prompt)[1] for prompt in prompts]
        self._lengths = lengths
        return ids, ids == 0, lengths

    def capture(self, ids: Tensor, _mask: Tensor) -> Tensor:
        """The stream at two layers, at every position."""
        generator = torch.Generator().manual_seed(int(self._posed[0].values.sum()))
        stream = torch.randn(2, *ids.shape, self.width, generator=generator)
        for row, instance in enumerate(self._posed):
            known = torch.from_numpy(self.held(instance)).float()
            stream[1, row, self._lengths[row] - 1, : len(known)] = known * 20 * self.knows
        return stream
