"""Prompts that go on from one another run once: a causal net answers all of them on the way.

A prompt that another one begins with needs no run of its own. Its answer is read in the middle
of the longer one, and so are its gradients, since nothing behind an answer touches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.instruments.attribution_runs import Pairs, on_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int


@dataclass(frozen=True, slots=True)
class Answers:
    """Where logits are read: at these positions of these runs, of which one can be read often."""

    runs: Int[Tensor, " answer"]
    places: Int[Tensor, " answer"]

    def __len__(self) -> int:
        return len(self.runs)

    @classmethod
    def of(cls, pairs: Pairs) -> Answers:
        """One of each pair."""
        return cls(torch.arange(len(pairs), device=pairs.clean.device), pairs.answers)

    def copies(self, count: int, runs: int) -> Answers:
        """The same of ``count`` copies of all ``runs`` runs, copy after copy."""
        first = torch.arange(count, device=self.runs.device).repeat_interleave(len(self)) * runs
        return Answers(first + self.runs.repeat(count), self.places.repeat(count))

    def read(self, stream: Float[Tensor, "run pos _"]) -> Float[Tensor, "answer _"]:
        """The values at the answers."""
        return stream[self.runs, self.places]


def at_answers(module: torch.nn.Module, answers: Answers) -> Callable[[], None]:
    """Let an unembedding see the answers alone, as runs of one position; the remover."""
    return on_input(module, lambda stream: answers.read(stream)[:, None])


def trunks(
    pairs: Pairs, groups: Int[Tensor, " pair"] | None = None
) -> tuple[Int[Tensor, " run"], Int[Tensor, " pair"]]:
    """The pairs that need a run, and which of these runs answers each pair; for causal nets.

    Both prompts of a pair must begin a run's, padding included. Pairs of different ``groups``
    share none.
    """
    length = pairs.clean.shape[1]
    columns = [pairs.clean] + [each for each in (pairs.corrupt, pairs.mask) if each is not None]
    table = torch.stack([each.cpu() for each in columns], dim=2).numpy()
    answers = pairs.answers.cpu().numpy()
    behind = np.arange(length) > answers[:, None]
    table = np.where(behind[..., None], -1, table).reshape(len(pairs), -1)
    if groups is not None:
        table = np.concatenate([groups.cpu().numpy()[:, None], table], axis=1)
    # What a row begins comes right behind it, since -1 is less than any token.
    order = np.lexsort(table.T[::-1])
    ahead = table[order]
    begins = ((ahead[:-1] == ahead[1:]) | (ahead[:-1] == -1)).all(1)
    last = np.append(~begins, True)
    run = np.empty(len(pairs), dtype=np.int64)
    run[order] = np.cumsum(last) - last
    device = pairs.clean.device
    return torch.from_numpy(order[last]).to(device), torch.from_numpy(run).to(device)
