"""Graphs, norms and frames: the small laws that attribution rests on."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch
from attribution_nets import llama, wired
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pytest_mesa.instruments.attribution_frame import Frame
from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.instruments.attribution_norm import fit_norm, identity
from pytest_mesa.instruments.stream import SiteError


@pytest.fixture(scope="module")
def graph() -> Graph:
    return wired(llama()).graph


class Plus(nn.Module):
    """A root-mean-square norm that stores its gain less one, with an offset."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, generator=torch.Generator().manual_seed(3)))
        self.eps = 1e-3

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)
        return x * scale * (1 + self.weight) + 0.5


def random_norm(kind: str) -> nn.Module:
    module = {"layer": nn.LayerNorm(12), "rms": nn.RMSNorm(12, eps=1e-2), "plus": Plus(12)}[kind]
    generator = torch.Generator().manual_seed(1)
    for weight in module.parameters():
        nn.init.normal_(weight, generator=generator)
    return module


@pytest.mark.parametrize("kind", ["layer", "rms", "plus"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), scale=st.sampled_from([0.01, 1.0, 100.0]))
def test_a_norms_formula_gives_its_values_and_gradients(kind: str, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = (scale * torch.randn(6, 12, generator=generator)).requires_grad_()
    v = torch.randn(6, 12, generator=generator)
    module = random_norm(kind)
    norm = fit_norm(module, x.detach(), "it")
    hat, factor = norm.hat(x.detach())
    assert torch.allclose(hat * norm.gain + norm.shift, module(x), atol=1e-3)
    (want,) = torch.autograd.grad((module(x) * v).sum(), x)
    got = v * norm.gain
    along = (got * hat).mean(-1, keepdim=True)
    if norm.centred:
        got = got - got.mean(-1, keepdim=True)
    got = (got - hat * along) * factor
    assert torch.allclose(got, want, atol=1e-3 * float(want.abs().max()))


def test_what_is_no_norm_is_refused() -> None:
    with pytest.raises(SiteError, match="the first is neither a layer norm nor"):
        fit_norm(nn.Tanh(), torch.randn(4, 8), "the first")
    with pytest.raises(SiteError, match="neither"):
        fit_norm(nn.Linear(8, 8), torch.randn(4, 8), "this")
    hat, factor = identity(8, torch.randn(2)).hat(torch.arange(8.0))
    assert torch.equal(hat, torch.arange(8.0))
    assert factor == 1


def test_edges_lead_to_later_readers_only(graph: Graph) -> None:
    for row, writer in enumerate(graph.writers):
        for column, reader in enumerate(graph.readers):
            later = reader.layer > writer.layer or (
                reader.layer == writer.layer and writer.part == "head" and reader.port == "mlp"
            )
            assert graph.edges[row, column] == later


def test_grouped_keys_feed_every_head_of_their_group(graph: Graph) -> None:
    key = graph.readers[graph.reader_index["a1.g1<k>"]]
    assert [graph.writers[place].name for place in key.feeds] == ["a1.h2", "a1.h3"]
    query = graph.readers[graph.reader_index["a1.h2<q>"]]
    assert [graph.writers[place].name for place in query.feeds] == ["a1.h2"]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), share=st.floats(0.0, 1.0))
def test_connected_edges_are_those_on_whole_paths(graph: Graph, seed: int, share: float) -> None:
    chosen = np.random.default_rng(seed).random(graph.edges.shape) < share
    kept = graph.connected(chosen)
    assert not (kept & ~(chosen & graph.edges)).any()
    assert (graph.connected(kept) == kept).all()
    # Follow the edges both ways, one at a time.
    steps = kept.astype(int) @ graph.feeds.astype(int) > 0
    reached = np.zeros(len(graph.writers), dtype=bool)
    reached[0] = True
    ends = kept[:, -1].copy()
    for _ in graph.writers:
        reached |= reached @ steps
        ends |= steps @ ends
    used = kept.any(axis=1)
    assert (used <= (reached & ends)).all()
    everything = graph.connected(np.ones_like(graph.edges))
    assert (everything == graph.edges).all()


def test_frames_give_rows_csv_and_the_largest() -> None:
    frame = Frame({"name": np.array(["a", "b, c", "d"]), "score": np.array([1.0, -3.0, 2.0])})
    assert [row["name"] for row in frame.largest(n=2).rows()] == ["b, c", "d"]
    read = list(csv.DictReader(io.StringIO(frame.to_csv())))
    assert [(row["name"], float(row["score"])) for row in read] == [
        (row["name"], row["score"]) for row in frame.rows()
    ]
    assert type(next(frame.rows())["score"]) is float
    assert len(Frame({})) == 0
    with pytest.raises(ValueError, match="different lengths"):
        Frame({"a": np.zeros(2), "b": np.zeros(3)})


def test_pandas_is_asked_for_only_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        Frame({"a": np.zeros(1)}).to_pandas()
