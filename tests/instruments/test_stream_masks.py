"""Streams of padded texts, of Hugging Face decoders as they are, and of blocks of any form."""

from __future__ import annotations

import pytest
import torch
from decoder_zoo import LAYERS, VOCABULARY, WIDTH, ZOO, built, tokens
from torch import Tensor, nn

from pytest_mesa.instruments.dissect import dissect
from pytest_mesa.instruments.runner import runner_of
from pytest_mesa.instruments.stream import SiteError, Stream

PADDED = ("gpt2", "llama", "bloom", "opt", "gemma3", "falcon-sequential")


def padded(ids: Tensor, left: int, right: int) -> tuple[Tensor, Tensor]:
    """Texts with padding on both sides, and where they are."""
    mask = nn.functional.pad(torch.ones_like(ids), (left, right))
    return nn.functional.pad(ids, (left, right)), mask


@pytest.mark.parametrize(("left", "right"), [(2, 0), (0, 2), (1, 1)])
@pytest.mark.parametrize("family", PADDED)
def test_padding_changes_no_texts_stream(family: str, left: int, right: int) -> None:
    stream, ids = Stream(built(ZOO[family].make)), tokens()
    plain, logits = stream.capture(ids), stream.logits(ids)
    more, mask = padded(ids, left, right)
    place = slice(left, left + ids.shape[1])
    torch.testing.assert_close(stream.capture(more, mask)[:, :, place], plain, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(stream.logits(more, mask)[:, place], logits, atol=1e-4, rtol=1e-4)
    if left:  # the mask does something
        assert not torch.allclose(stream.logits(more)[:, place], logits, atol=1e-2)


@pytest.mark.parametrize("family", PADDED)
def test_resuming_padded_texts(family: str) -> None:
    stream = Stream(built(ZOO[family].make))
    ids, mask = padded(tokens(), 2, 0)
    plain, seen = stream.logits(ids, mask), stream.capture(ids, mask)
    for layer in range(LAYERS + 1):
        again = stream.resume(ids, seen[layer], layer, mask=mask)
        torch.testing.assert_close(again[:, 2:], plain[:, 2:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "bloom", "jamba", "openai-gpt", "mixtral"])
def test_checks_of_padded_texts_and_of_any_blocks(family: str) -> None:
    module = built(ZOO[family].make)
    stream = dissect(module, tokens()).stream()
    stream.check(*padded(tokens(), 0, 2))
    stream.check(tokens())


def test_hybrid_blocks_are_found_where_no_list_is_of_one_class() -> None:
    module = built(ZOO["jamba"].make)
    stream = Stream(module)
    assert stream.blocks == list(module.model.layers)
    stream.check(tokens())


@pytest.mark.parametrize("family", ["jamba", "openai-gpt", "bloom"])
def test_runs_resume_from_each_layer_whatever_blocks_give(family: str) -> None:
    stream, ids = Stream(built(ZOO[family].make)), tokens(rows=3)
    plain, seen = stream.logits(ids), stream.capture(ids)
    for layer in range(LAYERS + 1):
        torch.testing.assert_close(
            stream.resume(ids, seen[layer], layer), plain, atol=1e-4, rtol=1e-4
        )


def test_a_check_needs_two_different_rows() -> None:
    stream = Stream(built(ZOO["gpt2"].make))
    for ids in (tokens(rows=1), tokens(rows=1).repeat(2, 1)):
        with pytest.raises(SiteError, match="two different rows"):
            stream.check(ids)


class Leaky(nn.Module):
    """Blocks that pass their streams by a name of their own, with what a flaw adds to one."""

    def __init__(self, flaw: str) -> None:
        super().__init__()
        self.flaw = flaw
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Named() for _ in range(4))
        self.out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: Tensor) -> Tensor:
        x = start = self.embed(ids)
        for layer, block in enumerate(self.blocks):
            x = block(x=x)
            if layer == 2 and self.flaw == "side channel":
                x = x + 0.01 * start
            if layer == 2 and self.flaw == "noise":
                x = x + 0.01 * torch.rand(x.shape)
            if layer == 2 and self.flaw == "not a number":
                x = x / 0.0
        return self.out(x)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.map(x)


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("side channel", "at layer 2, a full patch does not give the donor's run"),
        ("noise", "at layer 2, patching a run with itself changes it"),
        ("not a number", "at layer 2, patching a run with itself changes it"),
    ],
)
def test_checks_name_the_layer_that_is_at_fault(flaw: str, message: str) -> None:
    Stream(built(lambda: Leaky(""))).check(tokens())
    with torch.random.fork_rng(devices=[]), pytest.raises(SiteError, match=message):
        Stream(built(lambda: Leaky(flaw))).check(tokens())


def test_runners_call_decoders_as_they_want_it() -> None:
    module, ids = built(ZOO["llama"].make), tokens()
    plain = module(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    assert torch.equal(runner_of(module)(ids), plain)
    calls: list[int] = []

    class Plain(nn.Module):
        def forward(self, *given: Tensor) -> Tensor:
            calls.append(len(given))
            return given[0]

    run = runner_of(Plain())
    run(ids)
    run(ids, torch.ones_like(ids))
    assert calls == [1, 2]
