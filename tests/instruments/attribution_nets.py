"""Nets for tests of attribution: pairs of prompts, and a decoder written out reader by reader."""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers as t
from torch import Tensor, nn

from pytest_mesa.instruments.attribution_parts import Wiring
from pytest_mesa.instruments.attribution_runs import Metric, Pairs, logit_difference
from pytest_mesa.instruments.attribution_wiring import wire
from pytest_mesa.instruments.dissect import dissect

VOCABULARY, PAIRS, LENGTH = 37, 5, 7


def stirred(module: nn.Module, seed: int = 1, scale: float = 0.1) -> nn.Module:
    """Random changes to all weights, biases and gains included, which are 0 or 1 when new."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=generator))
    return module.eval()


def wired(module: nn.Module) -> Wiring:
    example = prompts(2, seed=9)
    return wire(dissect(module, example), example)


def prompts(count: int, seed: int, length: int = LENGTH) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (count, length), generator=generator)


def pairs(count: int = PAIRS) -> Pairs:
    """Prompts that differ from their corruptions in two places."""
    clean, other = prompts(count, 0), prompts(count, 5)
    corrupt = clean.clone()
    corrupt[:, [1, 4]] = other[:, [1, 4]]
    return Pairs(clean, corrupt)


def difference(count: int = PAIRS) -> Metric:
    return logit_difference(torch.arange(count) + 3, torch.arange(count) + 13)


def llama() -> nn.Module:
    config = t.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return stirred(t.LlamaForCausalLM(config))


def straight(
    net: nn.Module, ids: Tensor, mix: Callable[[str, list[Tensor]], Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """A Llama with a stream for each reader: ``mix(reader's name, writes so far)`` makes it.

    Gives the last position's logits and all writes. Slow and plain, as the papers have it.
    """
    config, body = net.config, net.model
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    width = config.hidden_size // heads
    writes = [body.embed_tokens(ids)]
    cos, sin = body.rotary_emb(writes[0], torch.arange(ids.shape[1])[None])

    def turned(x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

    def read(layer: int, port: str, place: int, name: str) -> Tensor:
        block = body.layers[layer]
        own = slice(place * width, (place + 1) * width)
        stream = mix(f"a{layer}.{name}<{port}>", writes)
        return (
            block.input_layernorm(stream) @ getattr(block.self_attn, f"{port}_proj").weight[own].T
        )

    for layer, block in enumerate(body.layers):
        attention, written = block.self_attn, []
        keys = [turned(read(layer, "k", g, f"g{g}")) for g in range(groups)]
        values = [read(layer, "v", g, f"g{g}") for g in range(groups)]
        for head in range(heads):
            query = turned(read(layer, "q", head, f"h{head}"))
            group = head * groups // heads
            scores = query @ keys[group].transpose(1, 2) / width**0.5
            future = torch.ones_like(scores[0]).triu(1).bool()
            pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
            own = attention.o_proj.weight[:, head * width : (head + 1) * width]
            written.append(pattern @ values[group] @ own.T)
        writes += written
        writes.append(block.mlp(block.post_attention_layernorm(mix(f"m{layer}", writes))))
    return net.lm_head(body.norm(mix("logits", writes)))[:, -1], writes
