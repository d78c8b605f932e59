"""Going on from a past: the same answers as whole runs, and the same trained subspaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_mesa.instruments.interchange import (
    Runs,
    interchange_accuracy,
    interchange_logits,
    sensitivity,
    train_subspace,
)
from pytest_mesa.instruments.past import remember
from pytest_mesa.instruments.spike import Plant, spiked_stream
from pytest_mesa.instruments.stream import Site, Stream
from pytest_mesa.instruments.subspace import random_subspace
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.compiled import build
from pytest_mesa.subjects.decoder import untrained
from pytest_mesa.subjects.recipes import Recipe
from pytest_mesa.tasks.knapsack import tokens
from pytest_mesa.tasks.knapsack.instances import draw

POSITIONS = 7
RECIPE = Recipe("small", d_model=32, layers=5, heads=2, d_mlp=48)
IDS, OTHERS = (
    tokens.encode(draw(KnapsackTask(kind="knapsack"), 40, np.random.default_rng(seed)))
    for seed in (0, 1)
)


def planted() -> Stream:
    """A decoder whose answer at some inputs is read from a channel at position 4."""
    net = Subject("net", untrained(RECIPE, 1)).stream

    def code(ids: Tensor) -> Tensor:
        return ids[:, 1:4] / 10.0

    def answer(held: Tensor, ids: Tensor) -> Tensor:
        return held.sum(1, keepdim=True) * torch.arange(tokens.VOCABULARY) + ids[:, -1:]

    return spiked_stream(net, Plant(Site(1, 4), code, answer, lambda ids: ids[:, 1] > 12), IDS)


STREAMS: dict[str, Callable[[], Stream]] = {
    "decoder": lambda: Subject("net", untrained(RECIPE, 0)).stream,
    "staircase": lambda: Subject("net", untrained(replace(RECIPE, wiring="staircase"), 0)).stream,
    "planted": planted,
    "compiled": lambda: Subject("net", build("prefix-dp", 0)).stream,
}


@pytest.fixture(scope="module", params=STREAMS)
def case(request: pytest.FixtureRequest) -> tuple[Stream, Runs]:
    """A net and its runs, with what they leave to go on from."""
    stream = STREAMS[request.param]()
    base, past = remember(stream, IDS)
    assert past is not None and torch.equal(base, stream.capture(IDS))
    target = torch.arange(len(IDS)) % tokens.VOCABULARY
    return stream, Runs(IDS, base, stream.capture(OTHERS), target, past=past)


def whole(runs: Runs) -> Runs:
    return replace(runs, past=None)


def subspace(runs: Runs) -> Tensor:
    return random_subspace(runs.base.shape[-1], 4, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("onward", [False, True])
def test_a_swap_gives_the_logits_of_a_whole_run(case: tuple[Stream, Runs], onward: bool) -> None:
    stream, runs = case
    for position in range(POSITIONS):
        for layer in range(stream.layers + 1):
            site = Site(layer, position, onward)
            for q in (subspace(runs), None):
                got = interchange_logits(stream, runs, site, q)
                want = interchange_logits(stream, whole(runs), site, q)
                assert (got - want).abs().max() <= 3e-5 * want.abs().max(), site


def test_accuracies_are_those_of_whole_runs(case: tuple[Stream, Runs]) -> None:
    stream, runs = case
    site = Site(1, POSITIONS - 1)
    own = interchange_logits(stream, whole(runs), site, None).argmax(-1)
    half = torch.where(torch.arange(len(own)) % 2 == 0, own, own - 1)
    scores = interchange_accuracy(stream, replace(runs, target=half), site, None)
    assert scores.tolist() == [1.0, 0.0] * (len(own) // 2)


@pytest.mark.parametrize("position", [2, POSITIONS - 1])
def test_gradients_lead_where_whole_runs_lead(case: tuple[Stream, Runs], position: int) -> None:
    stream, runs = case
    site, start = Site(1, position), subspace(runs)

    def trained(given: Runs) -> Tensor:
        draws = torch.Generator().manual_seed(1)
        return train_subspace(stream, given, site, start, steps=5, batch=16, generator=draws)

    def felt(given: Runs) -> Tensor:
        draws = torch.Generator().manual_seed(1)
        return sensitivity(stream, given, site, runs.target - 1, draws)

    assert (trained(runs) - start).abs().max() > 1e-3
    assert torch.allclose(trained(runs), trained(whole(runs)), atol=1e-6)
    assert torch.allclose(felt(runs), felt(whole(runs)), atol=1e-6)


def test_only_what_a_swap_can_change_runs_again_and_gradients_keep_enough(
    case: tuple[Stream, Runs],
) -> None:
    stream, runs = case
    seen: list[int] = []
    last = stream.blocks[-1]
    handle = last.register_forward_hook(lambda _block, args, _out: seen.append(args[0].shape[1]))
    site, q = Site(1, POSITIONS - 1), subspace(runs)
    interchange_accuracy(stream, runs, site, q)
    draws = torch.Generator().manual_seed(0)
    train_subspace(stream, runs, site, q, steps=1, batch=4, generator=draws)
    sensitivity(stream, runs, site, runs.target, draws)
    handle.remove()
    assert runs.past is not None
    exact = runs.past.for_gradients is None  # the compiled nets, whose answers may tie
    assert seen == ([4, POSITIONS, POSITIONS] if exact else [1, 4, 4])


class Forgetful(nn.Module):
    """A net that keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.net = build("prefix-dp", 0)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits."""
        out: Tensor = self.net(ids)
        return out


def test_a_net_that_keeps_nothing_is_run_whole() -> None:
    plain = Stream(Forgetful())
    none = Plant(
        Site(1, 4),
        lambda ids: ids[:, :2].float(),
        lambda held, ids: torch.zeros(len(ids), tokens.VOCABULARY),
        lambda ids: ids[:, 0] < 0,
    )
    for stream in (plain, spiked_stream(plain, none, IDS)):
        captured, past = remember(stream, IDS)
        assert past is None
        assert torch.equal(captured, stream.capture(IDS))
