"""Ablation of edges and nodes against a decoder written out reader by reader."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attribution_nets import PAIRS, difference, llama, pairs, prompts, stirred, straight, wired
from decoder_zoo import ZOO
from torch import Tensor, nn

from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.instruments.attribution_runs import Pairs
from pytest_mesa.instruments.circuit import Circuit, from_mask, full
from pytest_mesa.instruments.circuit_ablate import (
    Resample,
    ablate,
    completeness,
    ends,
    evaluate,
    evaluate_by_group,
    faithfulness,
    mean_ablation,
    without,
)
from pytest_mesa.instruments.stream import SiteError

ADDITIVE = [name for name, kind in ZOO.items() if kind.additive]


def slowly(net: nn.Module, graph: Graph, mask: np.ndarray, base: list[Tensor]) -> np.ndarray:
    """The metric with each reader's own mixture of clean and baseline writes."""

    def mix(name: str, writes: list[Tensor]) -> Tensor:
        kept = mask[:, graph.reader_index[name]]
        return sum(w if kept[u] else base[u].expand_as(w) for u, w in enumerate(writes))

    with torch.no_grad():
        logits, _ = straight(net, pairs().clean, mix)
    return difference()(logits, torch.arange(PAIRS)).numpy()


def writes_of(net: nn.Module, ids: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return straight(net, ids, lambda _name, writes: torch.stack(writes).sum(0))[1]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.8, 0.98])
def test_any_edges_are_ablated_exactly(share: float) -> None:
    net = llama()
    wiring = wired(net)
    graph = wiring.graph
    generator = np.random.default_rng(int(100 * share))
    masks = [(generator.random(graph.edges.shape) < share) & graph.edges for _ in range(3)]
    corrupt = writes_of(net, pairs().corrupt)
    other = prompts(11, 3)
    means = [write.mean((0, 1), keepdim=True) for write in writes_of(net, other)]
    by_position = [write.mean(0, keepdim=True) for write in writes_of(net, other)]
    for ablation, base in (
        (Resample(), corrupt),
        (mean_ablation(wiring, other, tokens=21), means),
        (mean_ablation(wiring, other, by_position=True), by_position),
    ):
        got = evaluate(wiring, masks, pairs(), difference(), ablation, tokens=15)
        want = np.stack([slowly(net, graph, mask, base) for mask in masks])
        assert np.abs(got - want).max() < 1e-5 * np.abs(want).max() + 1e-6


@pytest.mark.parametrize("kind", ADDITIVE)
def test_all_edges_are_the_clean_run_and_none_the_baseline(kind: str) -> None:
    net = stirred(ZOO[kind].make(), scale=0.05)
    wiring = wired(net)
    data, metric, rows = pairs(), difference(), torch.arange(PAIRS)
    with torch.no_grad():
        clean, corrupt = (
            metric(wiring.run(ids)[:, -1], rows).numpy() for ids in (data.clean, data.corrupt)
        )
    found = faithfulness(wiring, full(wiring.graph), data, metric, Resample())
    assert np.abs(found.full - clean).max() < 1e-4 * np.abs(clean).max()
    assert np.abs(found.empty - corrupt).max() < 1e-4 * np.abs(corrupt).max()
    assert found.value == 1
    assert faithfulness(wiring, Circuit(frozenset()), data, metric, Resample()).value == 0
    assert completeness(wiring, full(wiring.graph), data, metric, Resample()).value == 0
    # The same through the readers' own streams: a shared one cannot hide there.
    generator = np.random.default_rng(0)
    half = (generator.random(wiring.graph.edges.shape) < 0.5) & wiring.graph.edges
    same = Pairs(data.clean, data.clean)
    got = evaluate(wiring, [half], same, metric, Resample())[0]
    assert np.abs(got - clean).max() < 1e-4 * np.abs(clean).max()


def test_groups_of_pairs_have_circuits_of_their_own() -> None:
    wiring = wired(llama())
    groups = torch.tensor([2, 0, 1, 0, 2])
    generator = np.random.default_rng(1)
    own = (
        generator.random((3, *wiring.graph.edges.shape)) < np.array([0.1, 0.5, 0.9])[:, None, None]
    )
    means = mean_ablation(wiring, prompts(4, 3))
    for ablation in (Resample(), means):
        got = evaluate_by_group(
            wiring, [own, own[:1]], pairs(), difference(), groups, ablation, tokens=15
        )
        alone = evaluate(wiring, list(own), pairs(), difference(), ablation)
        assert np.abs(got[0] - alone[groups, range(PAIRS)]).max() < 1e-5
        assert np.abs(got[1] - alone[0]).max() < 1e-5
        edges = wiring.graph.edges
        both = evaluate(wiring, [edges, edges & False], pairs(), difference(), ablation)
        assert np.abs(ends(wiring, pairs(), difference(), ablation) - both).max() < 1e-5


def test_ablating_nodes_is_ablating_all_their_edges() -> None:
    net = llama()
    wiring = wired(net)
    nodes = ["a0.h1", "m1", "a2.h3"]
    found = ablate(wiring, nodes, pairs(), difference(), Resample())
    want = slowly(net, wiring.graph, without(wiring.graph, nodes), writes_of(net, pairs().corrupt))
    assert np.abs(found.alone - want).max() < 1e-5
    rest = completeness(
        wiring,
        from_mask(wiring.graph, wiring.graph.edges & ~without(wiring.graph, nodes)),
        pairs(),
        difference(),
        Resample(),
    )
    assert (rest.alone == found.alone).all()
    assert ablate(wiring, [], pairs(), difference(), Resample()).value == 1


def test_padding_counts_in_no_mean() -> None:
    wiring = wired(llama())
    ids = prompts(6, 2)
    padded = nn.functional.pad(ids, (0, 3), value=5)
    mask = nn.functional.pad(torch.ones_like(ids), (0, 3))
    for by_position in (False, True):
        plain = mean_ablation(wiring, ids, by_position=by_position).writes
        other = mean_ablation(wiring, padded, mask, by_position=by_position).writes
        length = plain.stream.shape[1]
        for one, two in zip(
            (plain.stream, *plain.parts), (other.stream, *other.parts), strict=True
        ):
            assert torch.allclose(one, two[:, :length], atol=1e-5)


def test_what_cannot_be_ablated_is_refused() -> None:
    wiring = wired(llama())
    data = pairs()
    with pytest.raises(SiteError, match="needs corrupted prompts"):
        ablate(wiring, ["m0"], Pairs(data.clean), difference(), Resample())
    with pytest.raises(SiteError, match="one number for each run"):
        ablate(wiring, ["m0"], data, lambda logits, rows: logits.mean(), Resample())
    with pytest.raises(SiteError, match="no writer m7"):
        ablate(wiring, ["m7"], data, difference(), Resample())
    short = mean_ablation(wiring, data.clean[:, :4], by_position=True)
    with pytest.raises(SiteError, match="means over 4 positions do not fit prompts of 7"):
        ablate(wiring, ["m0"], data, difference(), short)
    with pytest.raises(SiteError, match="nothing to restore"):
        _ = ablate(wiring, ["m0"], Pairs(data.clean, data.clean), difference(), Resample()).value
