"""Parts of a batch of pairs, whose common beginnings run once.

In a causal net a clean and a corrupted prompt are the same up to the first token that differs,
and so is every run between them: those positions' keys and values are computed once a pair, no
write differs there and no gradient is needed. Everything else runs from there on. Pairs that
begin other pairs need no run at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_mesa.instruments.attribution_parts import Wiring
from pytest_mesa.instruments.attribution_runs import Pairs
from pytest_mesa.instruments.attribution_trunks import Answers, at_answers, trunks
from pytest_mesa.instruments.patching_cache import RecordingCache
from pytest_mesa.instruments.runner import Runner

if TYPE_CHECKING:
    from jaxtyping import Int


@dataclass(frozen=True, slots=True)
class Share:
    """Some of the pairs, from position ``start`` on; ``run`` runs any number of copies of them.

    ``rows`` says which pairs the ``answers`` are of: one of these may answer several.
    ``groups`` are the pairs' own, in ascending order; None where there are none.
    """

    pairs: Pairs
    rows: Int[Tensor, " answer"]
    answers: Answers
    start: int
    run: Runner
    groups: Int[Tensor, " pair"] | None = None

    @property
    def own_groups(self) -> Int[Tensor, " pair"]:
        """Each pair's group; all in one where there are none."""
        if self.groups is not None:
            return self.groups
        return torch.zeros(len(self.pairs), dtype=torch.long, device=self.pairs.clean.device)


def shares(
    wiring: Wiring,
    pairs: Pairs,
    runs: int,
    tokens: int,
    *,
    groups: Int[Tensor, " pair"] | None = None,
    prefix: bool = True,
    apart: bool = False,
) -> Iterator[Share]:
    """Split pairs so that ``runs`` runs of each have at most ``tokens`` tokens at a time.

    ``prefix=False``: every run starts at the first position. ``apart``: every pair has a run of
    its own, also where another one begins with it; so have pairs of different ``groups``.
    """
    length = pairs.clean.shape[1]
    needed, run_of = (each.cpu() for each in _runs(wiring, pairs, groups, apart=apart))
    starts = torch.zeros(len(needed), dtype=torch.long)
    if prefix and continues(wiring):
        first = first_difference(pairs)
        starts = torch.full_like(starts, length).scatter_reduce(0, run_of, first, "amin")
    order = torch.argsort(starts, stable=True)
    at = 0
    while at < len(order):
        start = int(starts[order[at]])
        size = max(1, tokens // (runs * (length - start)))
        chosen = order[at : at + size]
        if groups is not None:
            chosen = chosen[torch.argsort(groups.cpu()[needed[chosen]], stable=True)]
        place = torch.full((len(needed),), -1)
        place[chosen] = torch.arange(len(chosen))
        rows = (place[run_of] >= 0).nonzero().flatten()
        device = pairs.clean.device
        answers = Answers(place[run_of[rows]].to(device), pairs.answers[rows.to(device)])
        own = needed[chosen].to(device)
        found = _share(wiring, pairs.take(own), rows.to(device), answers, start)
        yield found if groups is None else replace(found, groups=groups[own])
        at += size


def _runs(
    wiring: Wiring, pairs: Pairs, groups: Int[Tensor, " pair"] | None, *, apart: bool
) -> tuple[Tensor, Tensor]:
    """The pairs that need a run, and each pair's among these."""
    if apart or not wiring.anatomy.causal:
        each = torch.arange(len(pairs))
        return each, each
    return trunks(pairs, groups)


def first_difference(pairs: Pairs) -> Int[Tensor, " pair"]:
    """The first position at which a pair's prompts differ; at most the answer's."""
    if pairs.corrupt is None:
        return torch.zeros(len(pairs), dtype=torch.long)
    differ = (pairs.clean != pairs.corrupt).long()
    first = torch.where(differ.any(1), differ.argmax(1), pairs.answers)
    return torch.minimum(first, pairs.answers).cpu()


def continues(wiring: Wiring) -> bool:
    """Whether a run can go on from keys and values: a causal net of nothing but attention."""
    anatomy = wiring.anatomy
    attends = all(block.attention is not None and block.mixer is None for block in anatomy.blocks)
    takes = "past_key_values" in inspect.signature(anatomy.module.forward).parameters
    return anatomy.causal and attends and takes


def _share(wiring: Wiring, pairs: Pairs, rows: Tensor, answers: Answers, start: int) -> Share:
    whole = Share(pairs, rows, answers, 0, wiring.run)
    if not start:
        return whole
    cache = RecordingCache(len(wiring.anatomy.blocks))
    run = _Continued(wiring.anatomy.module, pairs, start, cache)
    with torch.no_grad(), ExitStack() as stack:
        nowhere = Answers(answers.runs[:0], answers.places[:0])  # logits of the beginnings: none
        stack.callback(at_answers(wiring.unembedding, nowhere))
        run.begin()
    if not cache.complete:
        return whole
    rest = None if pairs.corrupt is None else pairs.corrupt[:, start:]
    later = Pairs(pairs.clean[:, start:], rest, None, pairs.answers - start)
    return Share(later, rows, Answers(answers.runs, answers.places - start), start, run)


class _Continued:
    """Runs copies of pairs, pair after pair, from ``start`` on. The mask is the pairs' own."""

    def __init__(self, module: Any, pairs: Pairs, start: int, cache: RecordingCache) -> None:
        self.module = module
        self.pairs = pairs
        self.start = start
        self.cache = cache
        self.mask = torch.ones_like(pairs.clean) if pairs.mask is None else pairs.mask
        self.places = "position_ids" in inspect.signature(module.forward).parameters

    def begin(self) -> None:
        """Compute the common beginnings."""
        early = slice(self.start)
        self._call(self.pairs.clean[:, early], self.mask[:, early], self.cache)

    def __call__(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:  # noqa: ARG002
        copies = len(ids) // len(self.pairs)
        prompts = torch.arange(len(self.pairs), device=ids.device).repeat(copies)
        cache = self.cache.continued(self.start, prompts)
        return self._call(ids, self.mask.repeat(copies, 1), cache)

    def _call(self, ids: Tensor, mask: Tensor, cache: Any) -> Tensor:
        inputs = {"input_ids": ids, "attention_mask": mask, "past_key_values": cache}
        if self.places:
            places = (mask.cumsum(1) - 1).clamp_min(0)
            inputs["position_ids"] = places[:, -ids.shape[1] :]
        out: Tensor = self.module(**inputs, use_cache=True).logits
        return out
