"""Reading and writing residual streams, on random nets of three families and a compiled one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from pytest_mesa.instruments.stream import SiteError, Stream, find_blocks

VOCABULARY, WIDTH, LAYERS = 23, 16, 3


class Logits(nn.Module):
    """A Hugging Face decoder as a map from ids to logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model(ids, use_cache=False).logits


def gpt2() -> nn.Module:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=16, n_embd=WIDTH, n_layer=LAYERS, n_head=2
    )
    return GPT2LMHeadModel(config)


def llama() -> nn.Module:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=32,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
        )
    )


def neox() -> nn.Module:
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=32,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
        )
    )


@pytest.fixture(params=[gpt2, llama, neox], ids=lambda make: make.__name__)
def net(request: pytest.FixtureRequest) -> nn.Module:
    make: Callable[[], nn.Module] = request.param
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Logits(make()).eval()
        for parameter in module.parameters():  # as initialised, a net hardly reads its input
            parameter.data += 0.3 * torch.randn(parameter.shape)
    return module.requires_grad_(False)


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(1))


def hooks(module: nn.Module) -> int:
    """Hooks set, and forwards replaced, anywhere in a module."""
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in m.__dict__)
        for m in module.modules()
    )


def test_blocks_are_found_and_counted(net: nn.Module) -> None:
    blocks = find_blocks(net)
    assert len(blocks) == LAYERS == Stream(net).layers
    assert len({type(block) for block in blocks}) == 1


def test_the_longest_list_of_one_class_is_the_blocks() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixed = nn.ModuleList([nn.Linear(1, 1), nn.ReLU(), nn.ReLU(), nn.ReLU()])
            self.short = nn.ModuleList([nn.Linear(1, 1)])
            self.long = nn.ModuleList([nn.Linear(1, 1) for _ in range(2)])

    two = Two()
    assert find_blocks(two) == list(two.long)
    with pytest.raises(SiteError, match="name the blocks"):
        find_blocks(nn.Linear(1, 1))


def test_capture_matches_the_models_own_hidden_states(net: Logits, ids: Tensor) -> None:
    seen = Stream(net).capture(ids)
    assert seen.shape == (LAYERS + 1, 4, 6, WIDTH)
    own = net.model(ids, output_hidden_states=True).hidden_states
    for layer in range(LAYERS):  # the last of theirs is after the final norm
        assert torch.equal(seen[layer], own[layer])


@pytest.mark.parametrize("layer", range(LAYERS + 1))
def test_resuming_a_run_gives_that_run(net: nn.Module, ids: Tensor, layer: int) -> None:
    stream = Stream(net)
    seen, plain = stream.capture(ids), stream.logits(ids)
    assert torch.allclose(stream.resume(ids, seen[layer], layer), plain, atol=1e-5)
    donor = stream.resume(ids, seen[layer].flip(0), layer)
    assert torch.allclose(donor, plain.flip(0), atol=1e-5)
    assert not torch.allclose(donor, plain, atol=1e-2)


def test_a_resumed_run_skips_the_blocks_before(net: nn.Module, ids: Tensor) -> None:
    stream = Stream(net)
    seen = stream.capture(ids)
    ran: list[int] = []
    handles = [
        block.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
        for layer, block in enumerate(stream.blocks)
    ]
    inner = [
        child.register_forward_hook(lambda *_, layer=layer: ran.append(10 + layer))
        for layer, block in enumerate(stream.blocks)
        for child in list(block.children())[:1]
    ]
    stream.resume(ids, seen[2], 2)
    for handle in (*handles, *inner):
        handle.remove()
    assert [layer - 10 for layer in ran if layer >= 10] == [2]


@pytest.mark.parametrize("layer", [1, 2, LAYERS])
def test_edits_act_where_they_say(net: nn.Module, ids: Tensor, layer: int) -> None:
    """An edit that installs the donor's stream from a later layer on gives the donor's run."""
    stream = Stream(net)
    seen, plain = stream.capture(ids), stream.logits(ids)
    edited = stream.resume(ids, seen[0], 0, {layer: lambda _old: seen[layer].flip(0)})
    assert torch.allclose(edited, plain.flip(0), atol=1e-5)
    kept: list[Tensor] = []

    def look(old: Tensor) -> Tensor:
        kept.append(old)
        return old

    stream.resume(ids, seen[0], 0, {layer: look})
    assert torch.allclose(kept[0], seen[layer], atol=1e-5)


def test_gradients_reach_the_stream(net: nn.Module, ids: Tensor) -> None:
    stream = Stream(net)
    start = stream.capture(ids)[1].clone().requires_grad_(True)
    stream.resume(ids, start, 1)[:, -1].sum().backward()
    assert start.grad is not None and start.grad.abs().sum() > 0


class EditError(Exception):
    """Raised by an edit."""


def test_hooks_go_even_when_an_edit_raises(net: nn.Module, ids: Tensor) -> None:
    stream = Stream(net)
    before, plain = hooks(net), stream.logits(ids)
    seen = stream.capture(ids)

    def explode(_old: Tensor) -> Tensor:
        raise EditError

    for layer in (1, 2, LAYERS):
        with pytest.raises(EditError):
            stream.resume(ids, seen[1], 1, {layer: explode})
        assert hooks(net) == before
    with pytest.raises((IndexError, RuntimeError)):
        stream.capture(ids + VOCABULARY)
    assert hooks(net) == before
    assert torch.equal(stream.logits(ids), plain)


@pytest.mark.parametrize("layer", [-1, LAYERS + 1])
def test_layers_that_are_not_there(net: nn.Module, ids: Tensor, layer: int) -> None:
    with pytest.raises(SiteError, match=f"layer {layer} is outside 0..{LAYERS}"):
        Stream(net).resume(ids, torch.zeros(4, 6, WIDTH), layer)


def test_sound_streams_pass_their_check(net: nn.Module, ids: Tensor) -> None:
    Stream(net).check(ids[:2])


class SideChannel(nn.Module):
    """Blocks that read the ids behind the stream's back."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(nn.Identity() for _ in range(2))
        self.out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        stream = self.embed(ids)
        for block in self.blocks:
            stream = block(stream) + self.embed(ids).flip(1)
        return self.out(stream)


def test_a_stream_with_a_way_round_it_fails_its_check(ids: Tensor) -> None:
    with pytest.raises(SiteError, match="a full patch does not give the donor's run"):
        Stream(SideChannel().requires_grad_(False)).check(ids[:2])


class Vectors(nn.Module):
    """Blocks whose streams have no positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(nn.Identity() for _ in range(2))

    def forward(self, ids: Tensor) -> Tensor:
        return self.blocks[1](self.blocks[0](self.embed(ids).mean(1)))


def test_blocks_without_a_stream_are_refused(ids: Tensor) -> None:
    net = Vectors()
    with pytest.raises(SiteError, match=r"a block's input is no \(batch, pos, d_model\) tensor"):
        Stream(net).capture(ids)
    assert hooks(net) == 0
