"""Sweeps equal a whole run a location, on every family, padded and not, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
import torch
import transformers as t
from decoder_zoo import HEADS, LAYERS, VOCABULARY, ZOO, built, tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from patching_naive import naive
from torch import Tensor, nn

from pytest_mesa.instruments import patching, patching_sweep
from pytest_mesa.instruments.anatomy import Anatomy
from pytest_mesa.instruments.dissect import dissect
from pytest_mesa.instruments.patching_parts import Part
from pytest_mesa.instruments.patching_relay import Relay
from pytest_mesa.instruments.patching_rows import EVERY_TRICK, Locations, Tricks
from pytest_mesa.instruments.stream import SiteError

EXACT = 1e-5
BATCH, LENGTH = 3, 7
SWEEPS = {
    Part.RESIDUAL: patching.sweep_residual,
    Part.ATTENTION: patching.sweep_attention,
    Part.MLP: patching.sweep_mlp,
}


@cache
def anatomy(kind: str) -> Anatomy:
    return dissect(built(ZOO[kind].make), tokens())


def pairs(seed: int = 3) -> tuple[Tensor, Tensor]:
    """Prompts that differ from their counterparts first at position 1, 3 and 0."""
    clean, corrupted = tokens(BATCH, LENGTH, seed), tokens(BATCH, LENGTH, seed + 1)
    corrupted[0, :1], corrupted[1, :3] = clean[0, :1], clean[1, :3]
    corrupted[:, LENGTH - 2] = clean[:, LENGTH - 2]
    return clean, corrupted


def right_padded() -> Tensor:
    return torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 4 + [0] * 3])


def metric(logits: Tensor) -> Tensor:
    """Weighs every token, in each prompt differently, so that no prompt can stand for another."""
    prompts = torch.arange(len(logits))
    weights = torch.sin(torch.arange(VOCABULARY) + prompts[:, None] * 0.7)
    return (logits * weights / weights.norm(dim=1, keepdim=True)).sum(1) + prompts


def close(got: Tensor, want: Tensor) -> bool:
    """Equal up to rounding of logits, which are of order 1; locations that don't exist match."""
    exists = ~want.isnan()
    scale = max(1.0, float(want[exists].abs().max()))
    return bool(((got - want)[exists].abs() <= EXACT * scale).all())


@pytest.mark.parametrize(
    ("kind", "padded"),
    [(kind, True) for kind in ZOO] + [(kind, False) for kind in ("gpt2", "llama", "opt", "jamba")],
)
def test_sweeps_equal_a_run_a_location(kind: str, padded: bool) -> None:
    net = anatomy(kind)
    clean, corrupted = pairs()
    mask = right_padded() if padded else None
    for part, sweep in SWEEPS.items():
        having = [i for i, block in enumerate(net.blocks) if part.module(block) is not None]
        if not having:
            continue
        want = naive(net, corrupted, clean, mask, part, metric, range(LENGTH))
        got = sweep(net, clean, corrupted, metric, mask=mask)
        assert got.shape == (BATCH, len(having), LENGTH)
        assert close(got, want[:, having]), part
        # The patch matters: else a sweep that patches nothing would pass, too.
        assert float(want[:, having].flatten(1).std(1).min()) > 100 * EXACT


@pytest.mark.parametrize("kind", ["gpt2", "gemma3"])
def test_a_sweep_equals_a_loop_of_single_forwards(kind: str) -> None:
    net = anatomy(kind)
    clean, corrupted = pairs()
    runs = (corrupted, clean, right_padded(), Part.RESIDUAL, metric, range(LENGTH))
    want = naive(net, *runs, at_once=1)
    assert close(naive(net, *runs), want)
    assert close(patching.sweep_residual(net, clean, corrupted, metric, mask=right_padded()), want)


@pytest.mark.parametrize(
    ("kind", "padded"),
    [(kind, False) for kind in ZOO if ZOO[kind].attending] + [("llama", True), ("bloom", True)],
)
def test_head_sweeps_equal_a_run_a_location(kind: str, padded: bool) -> None:
    net = anatomy(kind)
    clean, corrupted = pairs()
    mask = right_padded() if padded else None
    having = [i for i, block in enumerate(net.blocks) if block.heads is not None]
    heads, positions = range(HEADS), range(LENGTH)
    want = naive(net, corrupted, clean, mask, Part.HEADS, metric, heads, None)
    got = patching.sweep_heads(net, clean, corrupted, metric, mask=mask)
    assert close(got, want[:, having])
    want = naive(net, corrupted, clean, mask, Part.HEADS, metric, heads, positions)
    got = patching.sweep_heads_by_position(net, clean, corrupted, metric, mask=mask)
    assert close(got, want[:, having])


class Plain(nn.Module):
    """A decoder that is no Hugging Face model: it maps ids to logits, nothing else."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.module(ids, use_cache=False).logits
        return logits


def test_modules_that_only_take_ids_can_be_patched() -> None:
    net = dissect(Plain(built(ZOO["gpt2"].make)).eval(), tokens())
    clean, corrupted = pairs()
    want = naive(net, corrupted, clean, None, Part.RESIDUAL, metric, range(LENGTH))
    assert close(patching.sweep_residual(net, clean, corrupted, metric), want)
    assert settled(net) == Tricks(later_positions=False)


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, dict[str, object]]:
    """Prompts with any shared prefix and any padding on either side, and a sweep's options."""
    batch, length = draw(st.integers(1, 4)), draw(st.integers(2, 8))
    seed = draw(st.integers(0, 99))
    clean, corrupted = tokens(batch, length, seed), tokens(batch, length, seed + 100)
    mask = torch.ones_like(clean)
    for row in range(batch):
        shared = draw(st.integers(0, length))
        corrupted[row, :shared] = clean[row, :shared]
        padding = draw(st.integers(0, length - 1))
        if draw(st.booleans()):
            mask[row, length - padding :] = 0
        else:
            mask[row, :padding] = 0
    options: dict[str, object] = {
        "memory": draw(st.sampled_from([1, 20_000, 2**20])),
        "direction": draw(st.sampled_from(["denoise", "noise"])),
        "tricks": Tricks(*(draw(st.booleans()) for _ in range(6))),
    }
    return clean, corrupted, mask, options


@pytest.mark.parametrize("kind", ["gemma3", "opt", "falcon-sequential", "jamba"])
@settings(max_examples=10, deadline=None)
@given(case=sweeps())
def test_any_prompts_padding_budget_and_tricks(
    kind: str, case: tuple[Tensor, Tensor, Tensor, dict[str, object]]
) -> None:
    net, (clean, corrupted, mask, options) = anatomy(kind), case
    base, donor = (corrupted, clean) if options["direction"] == "denoise" else (clean, corrupted)
    want = naive(net, base, donor, mask, Part.RESIDUAL, metric, range(clean.shape[1]))
    got = patching.sweep_residual(net, clean, corrupted, metric, mask=mask, **options)
    assert close(got, want)


def test_what_leaves_the_last_block_can_be_patched() -> None:
    net = anatomy("llama")
    clean, corrupted = pairs()
    scores = patching.sweep_residual(net, clean, corrupted, metric, layers=[LAYERS])
    with torch.no_grad():
        runs = [metric(net.module(ids).logits[:, -1]) for ids in (clean, corrupted)]
    assert close(scores[:, 0, -1], runs[0])
    assert close(scores[:, 0, :-1], runs[1][:, None].expand(-1, LENGTH - 1))


def test_captured_residuals_are_the_blocks_inputs_and_the_last_output() -> None:
    net = anatomy("gpt2")
    ids = tokens(2, LENGTH)
    with torch.no_grad():
        hidden = net.module(ids, output_hidden_states=True).hidden_states
    captured = patching.capture_residuals(net, ids)
    assert len(captured) == LAYERS + 1
    for got, want in zip(captured[:-1], hidden[:-1], strict=True):
        assert torch.equal(got, want)
    assert torch.allclose(net.final_norm(captured[-1]), hidden[-1], atol=1e-6)


def settled(net: Anatomy) -> Tricks:
    clean, corrupted = pairs()
    task = patching_sweep.Task(
        net, corrupted, clean, torch.ones_like(clean), Part.RESIDUAL, Locations([0])
    )
    return patching_sweep.prepared(Relay(net), task)[1]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma3", "bloom", "mixtral"])
def test_all_tricks_work_where_they_can(kind: str) -> None:
    assert settled(anatomy(kind)) == EVERY_TRICK


def test_state_space_blocks_compute_all_positions() -> None:
    assert settled(anatomy("mamba")) == Tricks(later_positions=False)


def test_an_mlp_that_adds_in_place_sees_all_positions() -> None:
    assert settled(anatomy("falcon-new")) == Tricks(last_mlp=False)


def test_nets_without_a_causal_mask_compute_all_positions() -> None:
    config = t.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=48,
        is_decoder=False,
    )
    net = dissect(built(lambda: t.BertLMHeadModel(config)), tokens())
    assert not net.causal
    assert not settled(net).later_positions
    clean, corrupted = pairs()
    want = naive(net, corrupted, clean, None, Part.RESIDUAL, metric, range(LENGTH))
    assert close(patching.sweep_residual(net, clean, corrupted, metric), want)


@pytest.fixture
def computed() -> Iterator[list[int]]:
    """Tokens that have gone through each block's MLP of the Llama net."""
    seen = [0] * LAYERS
    handles = []
    for layer, block in enumerate(anatomy("llama").blocks):
        assert block.mlp is not None

        def count(_module: nn.Module, _args: object, output: Tensor, layer: int = layer) -> None:
            seen[layer] += output.shape[0] * output.shape[1]

        handles.append(block.mlp.register_forward_hook(count))
    yield seen
    for handle in handles:
        handle.remove()


def test_nothing_below_or_before_a_patch_is_computed(computed: list[int]) -> None:
    net = anatomy("llama")
    clean, corrupted = tokens(1, LENGTH, 3), tokens(1, LENGTH, 4)
    options = {"layers": [1], "positions": [LENGTH - 2]}
    patching.sweep_residual(net, clean, corrupted, metric, positions=[], layers=[1])
    overhead = list(computed)
    patching.sweep_residual(net, clean, corrupted, metric, **options)
    spent = [now - 2 * before for now, before in zip(computed, overhead, strict=True)]
    assert spent == [0, 2, 1]  # the last block's MLP only where the metric reads


def test_shared_prefixes_are_not_run(computed: list[int]) -> None:
    net = anatomy("llama")
    clean = tokens(1, LENGTH, 3)
    corrupted = clean.clone()
    corrupted[0, -1] = (clean[0, -1] + 1) % VOCABULARY
    patching.sweep_residual(net, clean, corrupted, metric, positions=[])
    overhead = list(computed)
    patching.sweep_residual(net, clean, corrupted, metric)
    spent = [now - 2 * before for now, before in zip(computed, overhead, strict=True)]
    assert spent == [1, 2, 3]  # the last position only, from its layer on


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layers": [LAYERS + 1]}, "layer 4 is outside 0..3"),
        ({"positions": [-1]}, "position -1 is outside"),
        ({"mask": torch.ones(BATCH, 2)}, "the mask is (3, 2)"),
        ({"mask": torch.zeros(BATCH, LENGTH)}, "no token"),
        ({"corrupted": tokens(BATCH, 2)}, "same shape"),
        (
            {"metric": lambda logits: logits.mean()},
            "must map logits (3, vocabulary) to (3,), not ()",
        ),
        ({"metric": lambda logits: 0.0}, "not float"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], says: str) -> None:
    clean, corrupted = pairs()
    call = {"clean": clean, "corrupted": corrupted, "metric": metric} | options
    with pytest.raises(SiteError) as raised:
        patching.sweep_residual(anatomy("llama"), **call)
    assert says in str(raised.value)


def test_a_part_that_is_not_there_is_named() -> None:
    clean, corrupted = pairs()
    with pytest.raises(SiteError, match="no attention heads was found in layer 0"):
        patching.sweep_heads(anatomy("jamba"), clean, corrupted, metric, layers=[0])
    with pytest.raises(SiteError, match="no MLP write was found in this net"):
        patching.sweep_mlp(anatomy("mamba"), clean, corrupted, metric)


def test_a_net_in_training_mode_is_refused() -> None:
    net = dissect(built(ZOO["gpt2"].make), tokens())
    net.module.train()
    with pytest.raises(SiteError, match="eval"):
        patching.sweep_residual(net, *pairs(), metric)
