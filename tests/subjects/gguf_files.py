"""A tiny Llama as a GGUF file, as llama.cpp's converter would write it, unquantized."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from tiny_models import model, tokenizer

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OTHERS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write(path: Path, seed: int = 0) -> Path:
    """Write the tiny Llama of `tiny_models` with its tokenizer."""
    from gguf import GGUFWriter, TokenType

    llama = model("llama", seed)
    shape = llama.config
    writer = GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_key_value_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_vocab_size(shape.vocab_size)
    told = json.loads(tokenizer().backend_tokenizer.to_str())["model"]
    tokens = sorted(told["vocab"], key=told["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    kinds = [TokenType.CONTROL] * 2 + [TokenType.NORMAL] * (len(tokens) - 2)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in told["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, weight in llama.state_dict().items():
        stem = name.removesuffix(".weight")
        if stem in OTHERS:
            writer.add_tensor(f"{OTHERS[stem]}.weight", weight.numpy())
            continue
        _, _, block, part = stem.split(".", 3)
        heads = {"attn_q": shape.num_attention_heads, "attn_k": shape.num_key_value_heads}
        weight = _interleaved(weight, heads.get(NAMES[part], 0))
        writer.add_tensor(f"blk.{block}.{NAMES[part]}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _interleaved(weight: torch.Tensor, heads: int) -> np.ndarray:
    """The order of rotary dimensions that llama.cpp keeps: pairs, where transformers has halves."""
    if not heads:
        return weight.numpy()
    out, width = weight.shape
    rows = weight.view(heads, 2, out // heads // 2, width).swapaxes(1, 2)
    return rows.reshape(out, width).contiguous().numpy()
