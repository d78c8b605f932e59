"""Tiny random decoders of many families, and what is in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import transformers as t
from torch import Tensor, nn

VOCABULARY, WIDTH, LAYERS, HEADS = 37, 32, 3, 4


@dataclass(frozen=True)
class Kind:
    """A family: how to build one, and what dissecting it has to find.

    ``attention_write`` and ``mlp_write`` are names within a block. ``mixers``: layers with a
    state-space or convolution layer; ``attending``: layers with attention.
    """

    make: Callable[[], nn.Module]
    projection: str
    attention_write: str
    mlp_write: str
    width: int = 8
    groups: int = HEADS
    layers: int = LAYERS
    additive: bool = True
    attending: tuple[int, ...] = (0, 1, 2)
    mixers: tuple[int, ...] = ()


def _like_llama(config: type, **more: object) -> t.PretrainedConfig:
    return config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=2,
        **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0} | more,
    )


def _like_gpt2(config: type, **more: object) -> t.PretrainedConfig:
    return config(
        vocab_size=VOCABULARY,
        n_positions=16,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=1,
        eos_token_id=2,
        **more,
    )


def _falcon(**more: object) -> nn.Module:
    return t.FalconForCausalLM(
        t.FalconConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            **more,
        )
    )


def _opt(**more: object) -> nn.Module:
    return t.OPTForCausalLM(
        t.OPTConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            ffn_dim=48,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=32,
            **{"word_embed_proj_dim": WIDTH} | more,
        )
    )


LLAMA = ("self_attn.o_proj", "self_attn", "mlp")
NORMS = ("self_attn.o_proj", "post_attention_layernorm", "post_feedforward_layernorm")
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}

ZOO: dict[str, Kind] = {
    "gpt2": Kind(lambda: t.GPT2LMHeadModel(_like_gpt2(t.GPT2Config)), "attn.c_proj", "attn", "mlp"),
    "neox": Kind(
        lambda: t.GPTNeoXForCausalLM(_like_llama(t.GPTNeoXConfig)),
        "attention.dense",
        "attention",
        "mlp",
    ),
    "gptj": Kind(
        lambda: t.GPTJForCausalLM(_like_gpt2(t.GPTJConfig, rotary_dim=4)),
        "attn.out_proj",
        "attn",
        "mlp",
    ),
    "opt": Kind(_opt, "self_attn.out_proj", "self_attn", "fc2"),
    "opt-post-norm": Kind(
        lambda: _opt(do_layer_norm_before=False, word_embed_proj_dim=16),
        "self_attn.out_proj",
        "self_attn",
        "fc2",
        additive=False,
    ),
    "openai-gpt": Kind(
        lambda: t.OpenAIGPTLMHeadModel(_like_gpt2(t.OpenAIGPTConfig)),
        "attn.c_proj",
        "attn",
        "mlp",
        additive=False,
    ),
    "bert-decoder": Kind(
        lambda: t.BertLMHeadModel(_like_llama(t.BertConfig, is_decoder=True)),
        "attention.output.dense",
        "attention.output.dense",
        "output.dense",
        additive=False,
    ),
    "llama": Kind(lambda: t.LlamaForCausalLM(_like_llama(t.LlamaConfig)), *LLAMA, groups=2),
    "mistral": Kind(
        lambda: t.MistralForCausalLM(_like_llama(t.MistralConfig, sliding_window=3)),
        *LLAMA,
        groups=2,
    ),
    "qwen3": Kind(
        lambda: t.Qwen3ForCausalLM(_like_llama(t.Qwen3Config, head_dim=8)), *LLAMA, groups=2
    ),
    "gemma3": Kind(
        lambda: t.Gemma3ForCausalLM(_like_llama(t.Gemma3TextConfig, head_dim=16, sliding_window=3)),
        *NORMS,
        width=16,
        groups=2,
    ),
    "olmo2": Kind(lambda: t.Olmo2ForCausalLM(_like_llama(t.Olmo2Config)), *NORMS, groups=2),
    "phi": Kind(
        lambda: t.PhiForCausalLM(_like_llama(t.PhiConfig)),
        "self_attn.dense",
        "self_attn",
        "mlp",
        groups=2,
    ),
    "granite": Kind(
        lambda: t.GraniteForCausalLM(_like_llama(t.GraniteConfig, residual_multiplier=0.3)),
        *LLAMA,
        groups=2,
        additive=False,
    ),
    "falcon-multi-query": Kind(
        lambda: _falcon(multi_query=True, parallel_attn=True, new_decoder_architecture=False),
        "self_attention.dense",
        "self_attention",
        "mlp",
        groups=1,
    ),
    "falcon-sequential": Kind(
        lambda: _falcon(
            multi_query=False, parallel_attn=False, alibi=True, new_decoder_architecture=False
        ),
        "self_attention.dense",
        "self_attention",
        "mlp",
    ),
    "falcon-new": Kind(
        lambda: _falcon(num_kv_heads=2, new_decoder_architecture=True),
        "self_attention.dense",
        "self_attention",
        "mlp",
        groups=2,
    ),
    "bloom": Kind(
        lambda: t.BloomForCausalLM(
            t.BloomConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, n_layer=LAYERS, n_head=HEADS)
        ),
        "self_attention.dense",
        "self_attention.dense",
        "mlp.dense_4h_to_h",
    ),
    "mixtral": Kind(
        lambda: t.MixtralForCausalLM(
            _like_llama(t.MixtralConfig, num_local_experts=4, num_experts_per_tok=2)
        ),
        *LLAMA,
        groups=2,
    ),
    "qwen3-moe": Kind(
        lambda: t.Qwen3MoeForCausalLM(
            _like_llama(t.Qwen3MoeConfig, head_dim=8, num_experts=4, **EXPERTS)
        ),
        *LLAMA,
        groups=2,
    ),
    "mamba": Kind(
        lambda: t.MambaForCausalLM(
            t.MambaConfig(
                vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, state_size=8
            )
        ),
        "",
        "",
        "",
        attending=(),
        mixers=(0, 1, 2),
    ),
    "jamba": Kind(
        lambda: t.JambaForCausalLM(
            _like_llama(
                t.JambaConfig,
                attn_layer_period=2,
                attn_layer_offset=1,
                expert_layer_period=2,
                expert_layer_offset=1,
                num_experts=4,
                mamba_d_state=8,
            )
        ),
        "self_attn.o_proj",
        "self_attn",
        "feed_forward",
        groups=2,
        attending=(1,),
        mixers=(0, 2),
    ),
    "falcon-h1": Kind(
        lambda: t.FalconH1ForCausalLM(
            _like_llama(
                t.FalconH1Config,
                mamba_d_state=8,
                mamba_n_heads=4,
                mamba_d_head=16,
                mamba_d_ssm=64,
                mamba_n_groups=1,
                mamba_chunk_size=8,
            )
        ),
        "self_attn.o_proj",
        "self_attn",
        "feed_forward",
        groups=2,
        mixers=(0, 1, 2),
    ),
    "lfm2": Kind(
        lambda: t.Lfm2ForCausalLM(_like_llama(t.Lfm2Config, full_attn_idxs=[1])),
        "self_attn.out_proj",
        "self_attn",
        "feed_forward",
        groups=2,
        attending=(1,),
        mixers=(0, 2),
    ),
}


def zamba() -> nn.Module:
    """A hybrid whose blocks also read the embeddings, past the stream."""
    return t.Zamba2ForCausalLM(
        t.Zamba2Config(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=4,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            intermediate_size=48,
            layers_block_type=["mamba", "hybrid", "mamba", "hybrid"],
            mamba_d_state=8,
            n_mamba_heads=8,
            mamba_headdim=8,
            mamba_ngroups=1,
            num_mem_blocks=1,
            chunk_size=8,
        )
    )


def built(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A net with weights large enough for every part to matter, without gradients."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make().eval()
        for parameter in module.parameters():  # as initialised, a net hardly reads its input
            parameter.data += 0.3 * torch.randn(parameter.shape)
    return module.requires_grad_(False)


def tokens(rows: int = 2, length: int = 6, seed: int = 1) -> Tensor:
    """Random token ids."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (rows, length), generator=generator)
