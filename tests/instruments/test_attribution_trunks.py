"""Prompts that begin others are answered on the way, and nothing that is measured changes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from attribution_nets import VOCABULARY, pairs, prompts, stirred, wired
from decoder_zoo import ZOO
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.instruments import attribution, circuit_ablate
from pytest_mesa.instruments.attribution import (
    edge_attribution,
    edge_attribution_by_group,
    node_attribution,
)
from pytest_mesa.instruments.attribution_parts import Wiring
from pytest_mesa.instruments.attribution_paths import path
from pytest_mesa.instruments.attribution_prefix import shares
from pytest_mesa.instruments.attribution_runs import Metric, Pairs, logit_difference
from pytest_mesa.instruments.attribution_trunks import Answers, trunks
from pytest_mesa.instruments.circuit_ablate import Ablation, Resample, evaluate, mean_ablation

ADDITIVE = [name for name, kind in ZOO.items() if kind.additive]
ANSWERS = (2, 4, 6)
few = st.lists(st.integers(0, 1), min_size=4, max_size=4)


@given(st.lists(st.tuples(few, few, st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=9))
def test_every_pair_begins_its_run_and_no_run_another(
    rows: list[tuple[list[int], list[int], int, int]],
) -> None:
    clean, corrupt, ends, groups = zip(*rows, strict=True)
    data = Pairs(torch.tensor(clean), torch.tensor(corrupt), answer=torch.tensor(ends))
    needed, run = trunks(data, torch.tensor(groups))

    def begins(one: int, other: int) -> bool:
        end = ends[one] + 1
        return (
            end <= ends[other] + 1
            and groups[one] == groups[other]
            and clean[one][:end] == clean[other][:end]
            and corrupt[one][:end] == corrupt[other][:end]
        )

    runs = needed.tolist()
    assert all(begins(row, runs[place]) for row, place in enumerate(run.tolist()))
    assert not any(begins(a, b) for a in runs for b in runs if a != b)


def test_padding_has_to_be_the_same_too() -> None:
    ids = torch.tensor([[0, 0, 5], [0, 0, 5]])
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    assert len(trunks(Pairs(ids, mask=mask))[0]) == 2
    assert len(trunks(Pairs(ids))[0]) == 1


def test_copies_of_answers_are_read_copy_after_copy() -> None:
    answers = Answers(torch.tensor([0, 0, 1]), torch.tensor([1, 2, 0]))
    stream = torch.arange(12.0).reshape(2, 3, 2)
    twice = torch.cat([stream, stream + 100])
    assert torch.equal(
        answers.copies(2, 2).read(twice), torch.cat([answers.read(stream), answers.read(twice[2:])])
    )


def asked() -> tuple[Pairs, Metric, torch.Tensor]:
    """Every prompt at three places: cut there, padded with what another one would not hold."""
    whole = pairs()
    assert whole.corrupt is not None
    cut = [torch.arange(whole.clean.shape[1]) <= end for end in ANSWERS]
    filled = torch.full_like(whole.clean, 1)
    clean, corrupt = (
        torch.cat([torch.where(real, ids, filled) for real in cut])
        for ids in (whole.clean, whole.corrupt)
    )
    mask = torch.cat([real.long().expand(len(whole), -1) for real in cut])
    count = len(clean)
    metric = logit_difference(torch.arange(count) + 3, (torch.arange(count) + 13) % VOCABULARY)
    order = prompts(1, 3, count)[0].argsort()  # the order in which pairs come must not matter
    data = Pairs(clean[order], corrupt[order], mask[order])
    return data, lambda logits, rows: metric(logits, order[rows]), order % len(whole)


def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (attribution, circuit_ablate):
        monkeypatch.setattr(module, "shares", partial(shares, apart=True))


@pytest.mark.parametrize("kind", ADDITIVE)
def test_answers_on_the_way_score_as_those_of_their_own_runs(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiring = wired(stirred(ZOO[kind].make(), scale=0.05))
    data, metric, groups = asked()
    ran = sum(len(share.pairs) for share in shares(wiring, data, 1, 10))
    assert ran == (5 if wiring.anatomy.causal else 15)
    together = scored(wiring, data, metric, groups)
    apart(monkeypatch)
    for got, want in zip(together, scored(wiring, data, metric, groups), strict=True):
        assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()


def scored(
    wiring: Wiring, data: Pairs, metric: Metric, groups: torch.Tensor
) -> tuple[np.ndarray, ...]:
    edges = edge_attribution(wiring, data, metric, path(2), tokens=40)
    grouped = edge_attribution_by_group(wiring, data, metric, groups, tokens=40)
    nodes = node_attribution(wiring, data, metric, tokens=40)
    return (
        edges.scores,
        np.array([edges.clean, edges.corrupt]),
        np.stack([each.scores for each in grouped]),
        np.array([[each.clean, each.corrupt] for each in grouped]),
        nodes.by_position,
    )


def test_groups_score_as_if_each_were_alone() -> None:
    wiring = wired(stirred(ZOO["gpt2"].make()))
    data, metric, groups = asked()
    together = edge_attribution_by_group(wiring, data, metric, groups, tokens=30)
    assert len(together) == 5
    for group, got in enumerate(together):
        rows = (groups == group).nonzero().flatten()
        alone = edge_attribution(
            wiring, data.take(rows), lambda logits, own, of=rows: metric(logits, of[own])
        )
        assert np.abs(got.scores - alone.scores).max() < 1e-5 * np.abs(alone.scores).max()
        assert (got.clean, got.corrupt) == pytest.approx((alone.clean, alone.corrupt), abs=1e-5)


@pytest.mark.parametrize("name", ["resample", "mean"])
def test_circuits_are_tried_on_the_way_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wiring = wired(stirred(ZOO["gpt2"].make()))
    data, metric, _ = asked()
    mask = np.random.default_rng(0).random(wiring.graph.edges.shape) < 0.5
    means = mean_ablation(wiring, data.clean, data.mask)
    ablation: Ablation = Resample() if name == "resample" else means
    together = evaluate(wiring, [mask], data, metric, ablation, tokens=20)
    apart(monkeypatch)
    alone = evaluate(wiring, [mask], data, metric, ablation, tokens=20)
    assert np.abs(together - alone).max() < 1e-5
    again = mean_ablation(wiring, data.clean, data.mask)
    assert torch.equal(again.writes.stream, means.writes.stream)
