"""Circuits: selection, text, overlap and matched random ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from attribution_nets import difference, llama, pairs, wired
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.instruments.attribution import EdgeScores, edge_attribution
from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.instruments.circuit import Circuit, from_mask, full, greedy_edges, top_edges
from pytest_mesa.instruments.circuit_compare import matched_random, overlap, weighted_overlap
from pytest_mesa.instruments.stream import SiteError


@pytest.fixture(scope="module")
def scores() -> EdgeScores:
    return edge_attribution(wired(llama()), pairs(), difference())


def drawn(graph: Graph, seed: int, share: float = 0.3) -> Circuit:
    mask = np.random.default_rng(seed).random(graph.edges.shape) < share
    return from_mask(graph, mask)


@pytest.mark.parametrize("size", [0, 1, 30, 10_000])
def test_the_largest_edges_are_chosen_and_dead_ends_dropped(scores: EdgeScores, size: int) -> None:
    graph = scores.graph
    mask = top_edges(scores, size).mask(graph)
    ranked = np.sort(np.abs(scores.scores[graph.edges]))[::-1]
    if size:
        least = ranked[min(size, len(ranked)) - 1]
        assert mask.sum() <= size
        assert (np.abs(scores.scores[mask]) >= least).all()
        dropped = graph.edges & (np.abs(scores.scores) > least) & ~mask
        assert not graph.connected(mask | dropped)[dropped].any()
    assert (graph.connected(mask) == mask).all()
    assert size or not mask.any()
    assert size < 10_000 or (mask == graph.edges).all()


@pytest.mark.parametrize("size", [0, 1, 30, 10_000])
def test_a_greedy_circuit_grows_from_the_logits(scores: EdgeScores, size: int) -> None:
    graph = scores.graph
    mask = greedy_edges(scores, size).mask(graph)
    assert mask.sum() <= size
    assert (graph.connected(mask) == mask).all()
    if size == 30:
        assert mask.sum() > 20  # few dead ends: every edge leads into what is there
        into_logits = np.abs(scores.scores[:, -1])
        assert mask[:, -1].any()
        assert into_logits[mask[:, -1]].min() >= into_logits[~mask[:, -1]].min()


def test_circuits_survive_text(scores: EdgeScores) -> None:
    circuit = top_edges(scores, 40)
    assert Circuit.from_json(circuit.to_json()) == circuit
    assert Circuit.from_json(Circuit(frozenset()).to_json()) == Circuit(frozenset())


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{", "not JSON"),
        ("[]", "v = 1"),
        ('{"v": 2, "edges": []}', "v = 1"),
        ('{"v": 1}', "list of"),
        ('{"v": 1, "edges": [["a"]]}', "list of"),
        ('{"v": 1, "edges": [["a", 3]]}', "list of"),
    ],
)
def test_text_that_is_no_circuit_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Circuit.from_json(text)


def test_edges_of_another_net_are_refused(scores: EdgeScores) -> None:
    for edge in (("a9.h0", "logits"), ("m2", "a0.h0<q>"), ("input", "nowhere")):
        with pytest.raises(SiteError, match=f"no edge {edge[0]} -> {edge[1]}"):
            Circuit(frozenset({edge})).mask(scores.graph)


def test_a_complement_has_the_other_edges(scores: EdgeScores) -> None:
    circuit = top_edges(scores, 40)
    rest = circuit.complement(scores.graph)
    assert not circuit.edges & rest.edges
    assert circuit.edges | rest.edges == full(scores.graph).edges


@settings(max_examples=30, deadline=None)
@given(left=st.integers(0, 99), right=st.integers(0, 99), share=st.floats(0.01, 0.9))
def test_overlap_is_symmetric_and_one_for_equals(
    scores: EdgeScores, left: int, right: int, share: float
) -> None:
    one, other = drawn(scores.graph, left, share), drawn(scores.graph, right + 100)
    assert overlap(one, other) == overlap(other, one)
    same, found = overlap(one, one), overlap(one, other)
    assert (same.edges, same.nodes, same.smaller) == (1, 1, 1)
    assert 0 <= found.edges <= found.smaller <= 1
    assert 0 <= found.nodes <= 1
    assert overlap(one, one.complement(scores.graph)).edges == 0


def test_weighted_overlap_needs_no_threshold(scores: EdgeScores) -> None:
    graph = scores.graph
    louder = EdgeScores(graph, -3 * scores.scores, 0, 0)
    assert weighted_overlap(scores, louder) == pytest.approx(1)
    half = np.random.default_rng(0).random(graph.edges.shape) < 0.5
    here, there = (EdgeScores(graph, scores.scores * mask, 0, 0) for mask in (half, ~half))
    assert weighted_overlap(here, there) == 0
    assert 0 < weighted_overlap(scores, here) < 1
    assert weighted_overlap(here, scores) == pytest.approx(weighted_overlap(scores, here))
    assert weighted_overlap(scores, here, among=half) == pytest.approx(1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), size=st.integers(1, 120))
def test_random_circuits_match_in_size_and_layers(scores: EdgeScores, seed: int, size: int) -> None:
    graph = scores.graph
    circuit = top_edges(scores, size)
    other = matched_random(circuit, graph, np.random.default_rng(seed))
    assert kinds(graph, other) == kinds(graph, circuit)
    assert matched_random(circuit, graph, np.random.default_rng(seed)) == other


def test_random_circuits_differ(scores: EdgeScores) -> None:
    circuit = top_edges(scores, 60)
    shares = [
        overlap(circuit, matched_random(circuit, scores.graph, np.random.default_rng(s))).edges
        for s in range(10)
    ]
    assert max(shares) < 0.9
    assert len(set(shares)) > 1


def kinds(graph: Graph, circuit: Circuit) -> Counter[tuple[str, int, str, int]]:
    found: Counter[tuple[str, int, str, int]] = Counter()
    for writer, reader in circuit.edges:
        source = graph.writers[graph.writer_index[writer]]
        target = graph.readers[graph.reader_index[reader]]
        found[source.part, source.layer, target.port, target.layer] += 1
    return found
