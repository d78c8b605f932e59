"""Decoders taken apart: what is found in tiny random nets of many families."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from decoder_zoo import HEADS, LAYERS, VOCABULARY, WIDTH, ZOO, Kind, built, tokens, zamba
from torch import Tensor, nn

from pytest_mesa.instruments.anatomy import Anatomy, Block
from pytest_mesa.instruments.dissect import dissect
from pytest_mesa.instruments.stream import SiteError


@pytest.fixture(params=ZOO, scope="module")
def family(request: pytest.FixtureRequest) -> tuple[Kind, Anatomy]:
    kind = ZOO[request.param]
    return kind, dissect(built(kind.make), tokens())


def within(block: Block, part: nn.Module | None) -> str | None:
    """A part's name in its block."""
    names = {id(module): name for name, module in block.module.named_modules()}
    return None if part is None else names[id(part)]


def test_blocks_are_found_in_order(family: tuple[Kind, Anatomy]) -> None:
    kind, net = family
    assert len(net.blocks) == kind.layers
    assert net.d_model == WIDTH
    assert net.causal
    numbers = [int(block.name.rpartition(".")[2]) for block in net.blocks]
    assert numbers == list(range(kind.layers))


def test_heads_are_found_where_there_is_attention(family: tuple[Kind, Anatomy]) -> None:
    kind, net = family
    for layer, block in enumerate(net.blocks):
        if layer not in kind.attending:
            assert block.heads is None and block.attention is None
            continue
        assert block.heads is not None
        assert within(block, block.heads.projection) == kind.projection
        found = (block.heads.count, block.heads.width, block.heads.groups)
        assert found == (HEADS, kind.width, kind.groups)


def test_writes_are_found(family: tuple[Kind, Anatomy]) -> None:
    kind, net = family
    for layer, block in enumerate(net.blocks):
        attention = kind.attention_write if layer in kind.attending else None
        assert within(block, block.attention_write) == attention
        assert within(block, block.mlp_write) == (kind.mlp_write or None)
        assert (block.mixer_write is not None) == (layer in kind.mixers)
    assert net.additive is kind.additive
    assert ("sum to the block's change" in net.reason) is not kind.additive


def summed(net: Anatomy, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Each block's change of the stream, and the sum of its writes, in one run."""
    written = [torch.zeros(*ids.shape, WIDTH) for _ in net.blocks]
    with ExitStack() as stack:
        for total, block in zip(written, net.blocks, strict=True):
            for module in block.writes.values():

                def add(_module: nn.Module, _args: Any, output: Any, total: Tensor = total) -> None:
                    first = output[0] if isinstance(output, tuple | list) else output
                    total += first.reshape(total.shape)

                stack.callback(module.register_forward_hook(add).remove)
        streams = net.stream().capture(ids)
    return streams.diff(dim=0), torch.stack(written)


def test_writes_sum_to_the_streams_change_on_other_inputs(family: tuple[Kind, Anatomy]) -> None:
    kind, net = family
    change, written = summed(net, tokens(rows=3, length=7, seed=9))
    gap = float((change - written).abs().max() / change.abs().max())
    assert (gap < 1e-5) is kind.additive


def test_outer_parts(family: tuple[Kind, Anatomy]) -> None:
    _, net = family
    embedding = net.module.get_input_embeddings()
    assert net.embedding is embedding
    assert net.unembedding is net.module.get_output_embeddings()


def test_hooks_are_gone_afterwards(family: tuple[Kind, Anatomy]) -> None:
    _, net = family
    for module in net.module.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
        assert "forward" not in module.__dict__


def test_final_norms_are_what_reads_the_last_stream() -> None:
    names = {
        "gpt2": "transformer.ln_f",
        "llama": "model.norm",
        "neox": "gpt_neox.final_layer_norm",
        "opt-post-norm": None,
    }
    for family, name in names.items():
        net = dissect(built(ZOO[family].make), tokens())
        assert net.final_norm is (net.module.get_submodule(name) if name else None)


def test_weights_in_half_precision() -> None:
    for family in ("llama", "gemma3", "falcon-new"):
        kind = ZOO[family]
        net = dissect(built(kind.make).to(torch.bfloat16), tokens())
        assert net.additive, net.reason
        block = net.blocks[1]
        assert within(block, block.attention_write) == kind.attention_write
        assert within(block, block.mlp_write) == kind.mlp_write


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2", "falcon-multi-query"])
def test_heads_are_found_in_attention_that_is_not_fused(family: str) -> None:
    module = built(ZOO[family].make)
    module.set_attn_implementation("eager")
    (found,) = {
        (block.heads.count, block.heads.width, block.heads.groups)
        for block in dissect(module, tokens()).blocks
        if block.heads is not None
    }
    assert found == (HEADS, ZOO[family].width, ZOO[family].groups)


class Logits(nn.Module):
    """A Hugging Face decoder behind another name."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        mask = torch.ones_like(ids) if mask is None else mask
        return self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits


def test_nets_behind_a_wrapper() -> None:
    net = dissect(Logits(built(ZOO["llama"].make)), tokens(), None, {"blocks": "layers"})
    assert [block.name for block in net.blocks] == [f"model.model.layers.{i}" for i in range(3)]
    assert net.additive


def test_padding_in_the_example_is_left_out() -> None:
    ids, mask = tokens(rows=2, length=8), torch.ones(2, 8, dtype=torch.int64)
    mask[0, :2] = 0
    net = dissect(built(ZOO["llama"].make), ids, mask)
    assert len(net.blocks) == LAYERS


class Block1(nn.Module):
    """Attention written without any of torch's own, heads in an order of its own."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(WIDTH, 3 * WIDTH)
        self.back = nn.Linear(WIDTH, WIDTH)
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mix(self.norm(x)).unflatten(-1, (3, HEADS, -1)).unbind(2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k)
        if self.causal:
            scores = scores + torch.full(scores.shape[-2:], -1e9).triu(1)
        heads = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)
        return x + self.back(heads.flatten(2))


class Homemade(nn.Module):
    """Attention-only, no module for the attention, the stream passed by a name of its own."""

    def __init__(self, causal: bool = True, noise: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block1(causal) for _ in range(2))
        self.out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x=x)
        return self.out(x)


def test_nets_that_are_not_from_transformers() -> None:
    net = dissect(built(Homemade), tokens())
    assert net.additive and net.causal
    assert net.embedding is net.module.embed
    assert net.unembedding is net.module.out
    assert net.final_norm is None
    assert [block.writes["mlp"] for block in net.blocks] == [b.back for b in net.module.blocks]


def test_nets_that_look_ahead_are_not_causal() -> None:
    assert not dissect(built(lambda: Homemade(causal=False)), tokens()).causal


def test_blocks_that_read_past_the_stream_are_refused() -> None:
    with pytest.raises(SiteError, match=r"at layer 1, a full patch does not give the donor's run"):
        dissect(built(zamba), tokens())


class Looped(nn.Module):
    """One block, run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList([nn.Linear(WIDTH, WIDTH)])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for _ in range(2):
            x = self.blocks[0](x)
        return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Looped, "'blocks' runs its module 0 2 times"),
        (lambda: nn.Embedding(VOCABULARY, WIDTH), "it has no lists of modules"),
    ],
)
def test_nets_without_blocks(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(SiteError, match=message):
        dissect(built(make), tokens())


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (tokens(rows=1), "two rows of tokens"),
        (tokens(rows=1).repeat(2, 1), "two different rows"),
        (tokens(length=2), "three tokens in the same places"),
    ],
)
def test_examples_that_show_nothing(ids: Tensor, message: str) -> None:
    with pytest.raises(SiteError, match=message):
        dissect(built(ZOO["gpt2"].make), ids)
