"""Edge and node attribution against autograd written out, TransformerLens, and known laws."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from attribution_nets import (
    LENGTH,
    PAIRS,
    VOCABULARY,
    difference,
    llama,
    pairs,
    stirred,
    straight,
    wired,
)
from decoder_zoo import ZOO
from torch import Tensor, nn

from pytest_mesa.instruments import attribution
from pytest_mesa.instruments.attribution import edge_attribution, node_attribution
from pytest_mesa.instruments.attribution_paths import path
from pytest_mesa.instruments.attribution_prefix import continues, shares
from pytest_mesa.instruments.attribution_runs import Pairs, log_probability
from pytest_mesa.instruments.stream import SiteError


def gap(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())


def brute_force(net: nn.Module, data: Pairs, points: tuple[float, ...]) -> np.ndarray:
    """Edge scores by one gradient a reader, at evenly weighted points."""
    wiring = wired(net)
    graph = wiring.graph
    names = [reader.name for reader in graph.readers]

    def whole(_name: str, writes: list[Tensor]) -> Tensor:
        return torch.stack(writes).sum(0)

    with torch.no_grad():
        clean, corrupt = (straight(net, ids, whole)[1] for ids in (data.clean, data.corrupt))
    change = torch.stack(corrupt) - torch.stack(clean)
    scores = torch.zeros(len(graph.writers), len(names))
    for point in points:
        start = corrupt[0] + point * (clean[0] - corrupt[0])
        added = {name: torch.zeros_like(start).requires_grad_() for name in names}

        def mix(name: str, writes: list[Tensor], s: Tensor = start, a: dict = added) -> Tensor:
            return torch.stack([s, *writes[1:]]).sum(0) + a[name]

        logits, _ = straight(net, data.clean, mix)
        total = difference()(logits, torch.arange(len(data))).mean()
        gradients = torch.autograd.grad(total, [added[name] for name in names])
        for column, gradient in enumerate(gradients):
            scores[:, column] += (change * gradient).sum((1, 2, 3)) / len(points)
    return np.where(graph.edges, scores.numpy(), 0)


@pytest.mark.parametrize("kind", ["qwen3", "gemma3", "olmo2"])
def test_ports_are_found_where_every_softmax_is_saturated(kind: str) -> None:
    """Norms of queries and keys may leave one attention weight that is 1 to all digits."""
    net = ZOO[kind].make().eval()
    plain = wired(net).graph
    for name, parameter in net.named_parameters():
        if "q_norm" in name or "k_norm" in name:
            parameter.data.fill_(100.0)
    assert wired(net).graph.readers == plain.readers


@pytest.mark.parametrize(
    ("rule", "steps", "points"),
    [
        ("clean", 1, (1.0,)),
        ("ends", 1, (0.0, 1.0)),
        ("left", 3, (0.0, 1 / 3, 2 / 3)),
        ("right", 2, (0.5, 1.0)),
        ("middle", 2, (0.25, 0.75)),
    ],
)
def test_edges_are_those_of_one_gradient_a_reader(rule, steps, points) -> None:
    net = llama()
    got = edge_attribution(wired(net), pairs(), difference(), path(steps, rule))
    assert gap(got.scores, brute_force(net, pairs(), points)) < 1e-5


@pytest.mark.parametrize("kind", [name for name, kind in ZOO.items() if kind.additive])
def test_a_nodes_score_is_the_sum_of_its_edges(kind: str) -> None:
    wiring = wired(stirred(ZOO[kind].make(), scale=0.05))
    along = path(3)
    edges = edge_attribution(wiring, pairs(), difference(), along)
    nodes = node_attribution(wiring, pairs(), difference(), along)
    assert gap(edges.nodes, nodes.scores) < 1e-5
    assert (edges.clean, edges.corrupt) == (nodes.clean, nodes.corrupt)


@pytest.mark.parametrize("kind", [name for name, kind in ZOO.items() if not kind.additive])
def test_nets_that_do_not_add_up_are_refused(kind: str) -> None:
    with pytest.raises(SiteError, match="additive"):
        wired(stirred(ZOO[kind].make()))


def lens_nodes(net: nn.Module, architecture: str, data: Pairs) -> np.ndarray:
    """Node attribution at the clean prompt, by TransformerLens' own hooks."""
    builder = pytest.importorskip("transformer_lens.model_bridge.sources._bridge_builder")
    bridge = builder.build_bridge_from_module(
        copy.deepcopy(net), architecture, hf_config=net.config
    )
    layers = net.config.num_hidden_layers
    names = ["blocks.0.hook_in"]
    for layer in range(layers):
        names += [f"blocks.{layer}.attn.o.hook_in", f"blocks.{layer}.mlp.hook_out"]

    def run(ids: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen: dict[str, Tensor] = {}

        def keep(value: Tensor, hook: Any) -> Tensor:
            seen[hook.name] = value
            return value  # it is a view of what the net holds; gradients must pass through it

        logits = bridge.run_with_hooks(ids, fwd_hooks=[(name, keep) for name in names])
        return logits[:, -1], [seen[name] for name in names]

    logits, clean = run(data.clean)
    _, corrupt = run(data.corrupt)
    total = difference()(logits, torch.arange(len(data))).mean()
    scores: list[float] = []
    for here, there, gradient in zip(
        clean, corrupt, torch.autograd.grad(total, clean), strict=True
    ):
        product = (there - here).detach() * gradient
        scores += product.sum((0, 1, 3)).tolist() if product.ndim == 4 else [product.sum().item()]
    return np.array(scores)


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        ("gpt2", "GPT2LMHeadModel"),
        ("llama", "LlamaForCausalLM"),
        ("neox", "GPTNeoXForCausalLM"),
    ],
)
def test_nodes_are_transformer_lens_own(kind: str, architecture: str) -> None:
    net = ZOO[kind].make()
    if kind == "neox":
        del net.config.num_key_value_heads  # it has none, and the lens would believe it
    net = stirred(net, scale=0.05)
    got = node_attribution(wired(net), pairs(), difference(), path(rule="clean"))
    assert gap(got.scores, lens_nodes(net, architecture, pairs())) < 1e-4


def test_integrated_gradients_are_complete_and_the_error_falls_with_steps() -> None:
    wiring = wired(llama())

    def miss(steps: int, rule: str) -> float:
        got = node_attribution(wiring, pairs(), difference(), path(steps, rule))
        change = got.corrupt - got.clean
        return abs(got.scores[0] - change) / abs(change)

    left = [miss(steps, "left") for steps in (4, 16, 64)]
    assert left[0] > left[1] > left[2]
    gauss = [miss(steps, "gauss") for steps in (2, 5, 12)]
    assert gauss[0] > gauss[1] > gauss[2]
    assert gauss[1] < left[0]
    assert gauss[2] < 0.01


def test_the_metric_is_read_with_and_without_corruption() -> None:
    net, data = llama(), pairs()
    right = torch.arange(PAIRS) + 3
    got = node_attribution(wired(net), data, log_probability(right))
    with torch.no_grad():
        for ids, value in ((data.clean, got.clean), (data.corrupt, got.corrupt)):
            logits = net(ids, attention_mask=torch.ones_like(ids)).logits[:, -1].log_softmax(-1)
            assert value == pytest.approx(logits.gather(1, right[:, None]).mean().item(), rel=1e-5)


def test_neither_parts_nor_padding_change_scores() -> None:
    wiring = wired(llama())
    data = pairs()
    whole = edge_attribution(wiring, data, difference(), tokens=10_000)
    pieces = edge_attribution(wiring, data, difference(), tokens=1)
    assert gap(pieces.scores, whole.scores) < 1e-5
    for side in (0, 3):
        sizes = (side, 3 - side)
        padded = [nn.functional.pad(ids, sizes, value=2) for ids in (data.clean, data.corrupt)]
        mask = nn.functional.pad(torch.ones_like(data.clean), sizes)
        got = edge_attribution(wiring, Pairs(*padded, mask), difference())
        assert gap(got.scores, whole.scores) < 1e-4


@pytest.mark.parametrize("kind", [name for name, kind in ZOO.items() if kind.additive])
def test_sharing_beginnings_changes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wiring = wired(stirred(ZOO[kind].make(), scale=0.05))
    data = pairs()
    assert data.corrupt is not None
    corrupt = data.corrupt.clone()
    for row, start in enumerate([1, 4, 2, 0, 3]):
        corrupt[row, :start] = data.clean[row, :start]
        corrupt[row, start] = (data.clean[row, start] + 1) % VOCABULARY
    data = Pairs(data.clean, corrupt)
    started = [share.start for share in shares(wiring, data, 3, 14)]
    assert started == ([0, 1, 2, 3, 4] if continues(wiring) else [0] * 5)
    shared = edge_attribution(wiring, data, difference(), path(3), tokens=14)
    monkeypatch.setattr(attribution, "shares", partial(shares, prefix=False))
    whole = edge_attribution(wiring, data, difference(), path(3))
    assert gap(shared.scores, whole.scores) < 1e-5
    assert shared.clean == pytest.approx(whole.clean, abs=1e-6)


def test_an_answer_in_the_middle_is_blind_to_what_comes_later() -> None:
    wiring = wired(llama())
    data = pairs()
    middle = torch.full((PAIRS,), 3)
    got = node_attribution(wiring, Pairs(data.clean, data.corrupt, answer=middle), difference())
    cut = node_attribution(wiring, Pairs(data.clean[:, :4], data.corrupt[:, :4]), difference())
    assert gap(got.by_position[:, :4], cut.by_position) < 1e-4
    assert not got.by_position[:, 4:].any()


def test_positions_before_the_first_change_score_nothing() -> None:
    got = node_attribution(wired(llama()), pairs(), difference())
    assert not got.by_position[:, 0].any()
    assert got.by_position[:, 1].any()


def test_the_net_is_left_as_it_was() -> None:
    net = llama().train()
    next(net.parameters()).requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    flags = [weight.requires_grad for weight in net.parameters()]
    edge_attribution(wired(net), pairs(), difference())
    assert [weight.requires_grad for weight in net.parameters()] == flags
    assert all(weight.grad is None for weight in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_in_half_precision_scores_stay_close() -> None:
    exact = edge_attribution(wired(llama()), pairs(), difference())
    rough = edge_attribution(wired(llama().to(torch.bfloat16)), pairs(), difference())
    assert gap(rough.scores, exact.scores) < 0.1
    assert np.isfinite(rough.scores).all()


def test_frames_hold_every_edge_and_node() -> None:
    wiring = wired(llama())
    edges = edge_attribution(wiring, pairs(), difference())
    frame = edges.frame()
    assert len(frame) == wiring.graph.edges.sum()
    assert frame["score"].sum() == pytest.approx(edges.scores.sum())
    first = next(frame.largest().rows())
    row, column = (
        wiring.graph.writer_index[first["writer"]],
        wiring.graph.reader_index[first["reader"]],
    )
    assert abs(first["score"]) == np.abs(edges.scores).max() == abs(edges.scores[row, column])
    nodes = node_attribution(wiring, pairs(), difference())
    assert len(nodes.frame()) == len(wiring.graph.writers)
    by_position = nodes.frame(positions=True)
    assert len(by_position) == len(wiring.graph.writers) * LENGTH
    assert by_position["score"].sum() == pytest.approx(nodes.scores.sum())


def test_what_cannot_be_attributed_is_refused() -> None:
    wiring = wired(llama())
    data = pairs()
    with pytest.raises(SiteError, match="needs corrupted prompts"):
        edge_attribution(wiring, Pairs(data.clean), difference())
    with pytest.raises(SiteError, match="one number for each run"):
        node_attribution(wiring, data, lambda logits, rows: logits.sum())
    with pytest.raises(SiteError, match=r"shape \(5, 6\) do not fit"):
        Pairs(data.clean, data.clean[:, 1:])
    with pytest.raises(SiteError, match=r"outside 0\.\.6"):
        Pairs(data.clean, answer=torch.full((PAIRS,), 7))
    with pytest.raises(SiteError, match="at least one step"):
        path(0)


@pytest.mark.parametrize("rule", ["left", "right", "middle", "gauss", "ends", "clean"])
def test_a_paths_weights_sum_to_one(rule) -> None:
    for steps in (1, 2, 7):
        along = path(steps, rule)
        assert len(along.points) == len(along.weights)
        assert sum(along.weights) == pytest.approx(1)
        assert all(0 <= point <= 1 for point in along.points)


def test_a_norm_that_is_none_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x)

    net = t.LlamaForCausalLM(llama().config).eval()
    net.model.layers[1].input_layernorm = Odd()
    with pytest.raises(SiteError, match="neither a layer norm nor"):
        wired(net)
