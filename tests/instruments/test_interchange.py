"""Swaps in subspaces: their algebra, and their errors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.instruments.interchange import (
    Runs,
    interchange_accuracy,
    interchange_logits,
    read_subspace,
    swap,
)
from pytest_mesa.instruments.search import candidate_sites
from pytest_mesa.instruments.stream import Site, SiteError, Stream
from pytest_mesa.instruments.subspace import orthonormal, random_subspace
from pytest_mesa.subjects.compiled import build


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 3))
def test_a_swap_moves_the_subspace_and_nothing_else(seed: int, rank: int, position: int) -> None:
    g = generator(seed)
    stream, donor = torch.randn(3, 4, 8, generator=g), torch.randn(3, 8, generator=g)
    basis = random_subspace(8, rank, g)
    moved = swap(stream, donor, position, basis)
    others = [p for p in range(4) if p != position]
    assert torch.equal(moved[:, others], stream[:, others])
    here = moved[:, position]
    assert torch.allclose(here @ basis, donor @ basis, atol=1e-5)
    rest = torch.eye(8) - basis @ basis.T
    assert torch.allclose(here @ rest, stream[:, position] @ rest, atol=1e-5)
    assert torch.allclose(swap(moved, donor, position, basis), moved, atol=1e-5)
    turn = orthonormal(torch.randn(rank, rank, generator=g))
    assert torch.allclose(swap(stream, donor, position, basis @ turn), moved, atol=1e-5)
    whole = swap(stream, donor, position, None)[:, position]
    assert torch.allclose(whole, donor, atol=1e-6)


def runs(stream: Stream) -> Runs:
    items = torch.tensor([[1, 9, 17, 25, 33], [2, 10, 3, 4, 5]])
    ids = torch.cat(
        [torch.zeros(2, 1, dtype=torch.int64), items, torch.tensor([[55], [57]])], dim=1
    )
    return Runs(ids, stream.capture(ids), stream.capture(ids.flip(0)), torch.zeros(2).long())


@pytest.mark.parametrize("onward", [False, True])
def test_swapping_everything_at_the_answer_gives_the_donors_answer(onward: bool) -> None:
    stream = Stream(build("prefix-dp", 0))
    data = runs(stream)
    logits = interchange_logits(stream, data, Site(stream.layers, 6, onward), None)
    assert torch.allclose(logits, stream.logits(data.ids.flip(0))[:, -1], atol=1e-3)


def test_scores_are_one_where_the_target_is_met() -> None:
    stream = Stream(build("prefix-dp", 0))
    data = runs(stream)
    best = stream.logits(data.ids)[:, -1].argmax(-1)
    hit = Runs(data.ids, data.base, data.base, torch.stack([best[0], best[1] + 1]))
    assert interchange_accuracy(stream, hit, Site(2, 3), None).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("site", [Site(0, 7), Site(0, -1), Site(9, 3)])
def test_sites_that_are_not_there_are_errors(site: Site) -> None:
    stream = Stream(build("prefix-dp", 0))
    with pytest.raises(SiteError, match=r"outside 0\.\.6"):
        interchange_logits(stream, runs(stream), site, None)


def test_what_is_not_read_is_projected_out() -> None:
    encoding = orthonormal(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]))
    read = torch.diag(torch.tensor([1.0, 1.0, 0.0, 1.0]))
    kept = read_subspace(encoding, read, 1e-6)
    assert torch.allclose(kept[2], torch.zeros(2), atol=1e-6)
    assert torch.allclose(kept.T @ kept, torch.eye(2), atol=1e-5)


def test_candidate_sites_cover_each_layer_once_alone_and_onward() -> None:
    sites = candidate_sites(layers=3, first=5, last=6)
    assert len(sites) == len(set(sites))
    assert {s.layer for s in sites if s.position == 5 and not s.onward} == {0, 1, 2}
    assert {s.layer for s in sites if s.position == 6 and not s.onward} == {0, 1, 2, 3}
    assert all(s.layer < 3 for s in sites if s.onward)
