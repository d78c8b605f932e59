"""What circuits of games are circuits for: pairs of prompts, and a metric on each.

Playing: the net's best legal move against the best one of another game at the same ply, whose
prompt is the corruption. Telling apart, the task that has nothing to do with playing: which of
the two settings a prompt belongs to, with a prompt of the other as its corruption.

Many batches are asked at once; what corrupts a prompt is always of its own batch.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_mesa.instruments.attribution_runs import Metric, Pairs, logit_difference
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_players import Player, Posed, legal_logits, padded
from pytest_mesa.tasks.games.batches import Batch

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Task:
    """Pairs of prompts with what is asked of them, and the batch that each is of."""

    pairs: Pairs
    metric: Metric
    batch: Int[Tensor, " pair"]

    def of_batch(self, batch: int) -> Task:
        """One batch's part."""
        rows = (self.batch == batch).nonzero().flatten()
        return Task(
            self.pairs.take(rows),
            lambda logits, own: self.metric(logits, rows[own]),
            self.batch[rows],
        )


def playing(player: Player, setting: int, half: int, batches: Sequence[Batch]) -> Task:
    """The net's own move against the one it would make in another game.

    Raises:
        SubjectError: no two prompts of a batch are alike enough to corrupt one another.
    """
    asked = [batch[half][setting] for batch in batches]
    of = [number for number, positions in enumerate(asked) for _ in positions]
    posed = player.posed(setting, half, list(chain.from_iterable(asked)))
    logits = legal_logits(player, posed)
    best = [_best(*each) for each in zip(posed.legal, logits, strict=True)]
    rows, others, right, wrong = [], [], [], []
    for row, other in partners(list(zip(of, posed.keys, strict=True))).items():
        rival = _best(posed.legal[other], logits[other], best[row])
        # Two games may have begun alike: the same prompt corrupts nothing.
        if rival is not None and not torch.equal(posed.ids[row], posed.ids[other]):
            rows.append(row)
            others.append(other)
            right.append(best[row])
            wrong.append(rival)
    if {of[row] for row in rows} != set(range(len(asked))):
        raise SubjectError(
            "no two positions have different prompts of one length at the same ply, so that none "
            "can be corrupted by another; ask for more games in a batch"
        )
    device = posed.ids.device
    metric = logit_difference(*(torch.tensor(each, device=device) for each in (right, wrong)))
    pairs = Pairs(posed.ids[rows], posed.ids[others], posed.mask[rows], posed.lengths[rows] - 1)
    return Task(pairs, metric, torch.tensor(of, device=device)[rows])


def partners(keys: Sequence[Hashable]) -> dict[int, int]:
    """For each position the next one with the same key; none for one that stands alone."""
    alike: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        alike.setdefault(key, []).append(place)
    found: dict[int, int] = {}
    for places in alike.values():
        if len(places) > 1:
            found |= dict(zip(places, places[1:] + places[:1], strict=True))
    return dict(sorted(found.items()))


def _best(
    tokens: Sequence[int], logits: Float[Tensor, " token"], but: int | None = None
) -> int | None:
    """The most likely of some tokens, ``but`` one; None where there is no other."""
    places = [place for place, token in enumerate(tokens) if token != but]
    return tokens[places[int(logits[places].argmax())]] if places else None


def telling_apart(player: Player, half: int, batches: Sequence[Batch]) -> Task:
    """Which setting a prompt is of: its moves' tokens against those of the other's in its batch.

    Prompts are cut to one length, pair by pair; each corrupts the other.
    """
    posed = [[player.posed(s, half, batch[half][s]) for s in (0, 1)] for batch in batches]
    prompts: list[list[list[int]]] = [[], []]
    of: list[int] = []
    for number, (first, second) in enumerate(posed):
        for one, other in zip(_prompts(first), _prompts(second), strict=False):
            length = min(len(one), len(other))
            for side, row in zip(prompts, (one, other), strict=True):
                side.append(row[:length] if player.keeps == "start" else row[-length:])
            of.append(number)
    ids, mask = padded(prompts[0] + prompts[1], 0)
    corrupt, _ = padded(prompts[1] + prompts[0], 0)
    device = posed[0][0].ids.device
    signs = torch.tensor([1.0] * len(of) + [-1.0] * len(of), device=device)
    batch = torch.tensor(of + of, device=device)
    kinds = [_kinds(each) for each in posed]

    def metric(logits: Tensor, rows: Int[Tensor, " run"]) -> Tensor:
        said = torch.empty_like(logits[:, 0], dtype=torch.float32)
        for number in batch[rows].unique().tolist():
            here = (batch[rows] == number).nonzero().flatten()
            first, second = (logits[here][:, kind].float().logsumexp(-1) for kind in kinds[number])
            said = said.index_put((here,), first - second)
        return signs[rows] * said

    return Task(Pairs(ids.to(device), corrupt.to(device), mask.to(device)), metric, batch)


def _kinds(posed: Sequence[Posed]) -> list[list[int]]:
    """The tokens that are moves in only one of two settings."""
    own = [{token for legal in each.legal for token in legal} for each in posed]
    return [sorted(own[0] - own[1]), sorted(own[1] - own[0])]


def _prompts(posed: Posed) -> list[list[int]]:
    return [
        row[:length].tolist() for row, length in zip(posed.ids, posed.lengths.tolist(), strict=True)
    ]
