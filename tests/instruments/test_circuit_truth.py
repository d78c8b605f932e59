"""A circuit written down as weights is the circuit that is found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_mesa.instruments.attribution import EdgeScores, edge_attribution
from pytest_mesa.instruments.attribution_parts import Wiring
from pytest_mesa.instruments.attribution_paths import path
from pytest_mesa.instruments.attribution_runs import Metric, Pairs, logit_difference
from pytest_mesa.instruments.attribution_wiring import wire
from pytest_mesa.instruments.circuit import Circuit, top_edges
from pytest_mesa.instruments.circuit_ablate import Resample, ablate, completeness, faithfulness
from pytest_mesa.instruments.dissect import dissect

TOKENS, POSITIONS, HEADS, WIDTH = 10, 8, 3, 16
D_MODEL = 4 * WIDTH  # token now, position, token before, and room that nothing reads
NOW, PLACE, BEFORE, IDLE = (slice(i * WIDTH, (i + 1) * WIDTH) for i in range(4))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name in ("query", "key", "value", "out"):
            self.add_module(
                name,
                nn.Linear(
                    D_MODEL if name != "out" else HEADS * WIDTH,
                    HEADS * WIDTH if name != "out" else D_MODEL,
                    bias=False,
                ),
            )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (HEADS, WIDTH)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        pattern = (q @ k.transpose(2, 3)).masked_fill(future, -1e9).softmax(-1)
        return self.out((pattern @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.mlp = nn.Sequential(nn.Linear(D_MODEL, 8), nn.ReLU(), nn.Linear(8, D_MODEL))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


class Induction(nn.Module):
    """Answers with the token that came after the last token's earlier occurrence.

    Head 1 of block 0 writes the token before; head 2 of block 1 looks for a place whose token
    before is the token now, and copies the token there. All other parts read everything and
    write where nothing reads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(TOKENS, D_MODEL)
        self.places = nn.Embedding(POSITIONS, D_MODEL)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm = nn.Identity()
        self.unembed = nn.Linear(D_MODEL, TOKENS, bias=False)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
            self.write_down()

    def write_down(self) -> None:
        unit = torch.eye(WIDTH)
        for embedding, where, count in ((self.embed, NOW, TOKENS), (self.places, PLACE, POSITIONS)):
            embedding.weight.zero_()
            embedding.weight[:, where] = unit[:count]
        for block in self.blocks:
            block.attention.out.weight[: IDLE.start] = 0
            block.mlp[2].weight[: IDLE.start] = 0
            for part in (block.attention.query, block.attention.key, block.attention.value):
                part.weight[:, IDLE] = 0
            block.mlp[0].weight[:, IDLE] = 0
            block.mlp[2].bias.zero_()
        previous = unit.roll(1, 0)  # position p asks for position p - 1
        self.set_head(0, 1, (PLACE, 12 * previous.T), PLACE, NOW, BEFORE)
        self.set_head(1, 2, (NOW, 8 * unit), BEFORE, NOW, NOW)
        self.unembed.weight.zero_()
        self.unembed.weight[:, NOW] = unit[:TOKENS]

    def set_head(
        self,
        layer: int,
        head: int,
        query: tuple[slice, Tensor],
        key: slice,
        value: slice,
        to: slice,
    ) -> None:
        own = slice(head * WIDTH, (head + 1) * WIDTH)
        attention = self.blocks[layer].attention
        for part in (attention.query, attention.key, attention.value):
            part.weight[own] = 0
        attention.query.weight[own, query[0]] = query[1]
        attention.key.weight[own, key] = torch.eye(WIDTH)
        attention.value.weight[own, value] = torch.eye(WIDTH)
        attention.out.weight[:, own] = 0
        attention.out.weight[to, own] = 3 * torch.eye(WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.norm(x))


TRUE = {
    "token before": {("input", "a0.h1<v>"), ("a0.h1", "a1.h2<k>"), ("a1.h2", "logits")},
    "token after": {("input", "a1.h2<v>"), ("a1.h2", "logits")},
}


def prompts(what: str, count: int = 12) -> tuple[Pairs, Metric]:
    """``… A B … A``; the corruption has another A (so that B is not found) or another B."""
    generator = np.random.default_rng(0)
    clean, corrupt, wrong = [], [], []
    for _ in range(count):
        a, b, other, *filler = generator.permutation(TOKENS)
        clean.append([filler[0], filler[1], a, b, filler[2], filler[3], a])
        change = [other, b] if what == "token before" else [a, other]
        corrupt.append([filler[0], filler[1], *change, filler[2], filler[3], a])
        wrong.append(other if what == "token after" else filler[1])
    ids = torch.tensor(np.array(clean))
    return (
        Pairs(ids, torch.tensor(np.array(corrupt))),
        logit_difference(ids[:, 3], torch.tensor(np.array(wrong))),
    )


@pytest.fixture(scope="module")
def wiring() -> Wiring:
    ids = prompts("token after")[0].clean
    return wire(dissect(Induction().eval(), ids), ids)


@pytest.fixture(scope="module", params=sorted(TRUE))
def scored(request: pytest.FixtureRequest, wiring: Wiring) -> tuple[str, EdgeScores]:
    data, metric = prompts(request.param)
    return request.param, edge_attribution(wiring, data, metric, path(12))


def test_the_net_does_induction(wiring: Wiring) -> None:
    data, _ = prompts("token after")
    assert (wiring.run(data.clean)[:, -1].argmax(-1) == data.clean[:, 3]).all()
    assert data.corrupt is not None
    assert (wiring.run(data.corrupt)[:, -1].argmax(-1) == data.corrupt[:, 3]).all()


def test_the_written_circuit_is_found(scored: tuple[str, EdgeScores]) -> None:
    what, scores = scored
    true = TRUE[what]
    assert top_edges(scores, len(true)).edges == true
    rest = scores.graph.edges & ~Circuit(frozenset(true)).mask(scores.graph)
    least = min(abs(row["score"]) for row in scores.frame().largest(n=len(true)).rows())
    assert np.abs(scores.scores[rest]).max() < 0.05 * least


def test_the_written_circuit_is_faithful_and_complete(
    wiring: Wiring, scored: tuple[str, EdgeScores]
) -> None:
    what, _ = scored
    data, metric = prompts(what)
    circuit = Circuit(frozenset(TRUE[what]))
    assert faithfulness(wiring, circuit, data, metric, Resample()).value == pytest.approx(
        1, abs=0.01
    )
    assert completeness(wiring, circuit, data, metric, Resample()).value == pytest.approx(
        0, abs=0.01
    )


def test_irrelevant_heads_score_nothing_and_can_go(
    wiring: Wiring, scored: tuple[str, EdgeScores]
) -> None:
    what, scores = scored
    data, metric = prompts(what)
    idle = [w.name for w in wiring.graph.writers if w.name not in ("input", "a0.h1", "a1.h2")]
    assert len(idle) == 6
    largest = np.abs(scores.nodes).max()
    for name in idle:
        assert abs(scores.nodes[scores.graph.writer_index[name]]) < 1e-3 * largest
    assert ablate(wiring, idle, data, metric, Resample()).value == pytest.approx(1, abs=1e-4)
    assert ablate(wiring, ["a1.h2"], data, metric, Resample()).value == pytest.approx(0, abs=0.01)
