"""Parts named by hand: taken where they fit, caught where they don't."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from decoder_zoo import HEADS, ZOO, built, tokens
from torch import nn

from pytest_mesa.instruments.dissect import dissect
from pytest_mesa.instruments.stream import SiteError

RIGHT: dict[str, dict[str, Any]] = {
    "llama": {
        "blocks": "model.layers",
        "attention": "self_attn",
        "projection": "o_proj",
        "mlp": "mlp",
        "heads": HEADS,
        "groups": 2,
        "final_norm": "model.norm",
        "unembedding": "lm_head",
        "embedding": "embed_tokens",
    },
    "gpt2": {"blocks": "h", "attention": "attn", "projection": "attn.c_proj", "mlp": "mlp"},
    "gemma3": {"mlp": "mlp", "attention_write": "post_attention_layernorm"},
    "opt": {"mlp_write": "fc2"},
    "opt-post-norm": {"mlp_write": "fc2", "attention": "self_attn"},
    "granite": {"mlp": "mlp"},
    "jamba": {"attention": "self_attn", "projection": "o_proj"},
}


@pytest.mark.parametrize("family", RIGHT)
def test_right_names_change_nothing(family: str) -> None:
    module = built(ZOO[family].make)
    assert dissect(module, tokens(), None, RIGHT[family]) == dissect(module, tokens())


# For each family, a part named wrongly, and what the self-checks say.
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "gpt2": ({"attention": "mlp"}, "at layer 0, mlp is no attention"),
    "neox": ({"projection": "query_key_value"}, "query_key_value reads no heads"),
    "gptj": ({"projection": "q_proj"}, "attn.q_proj reads no heads"),
    "opt": ({"mlp_write": "fc1"}, "fc1"),
    "opt-post-norm": ({"mlp_write": "self_attn_layer_norm"}, "the parts named do not fit"),
    "openai-gpt": ({"attention": "ln_1"}, "ln_1 is no attention"),
    "bert-decoder": ({"projection": "query"}, "query reads no heads"),
    "llama": ({"heads": 9}, "9 heads are named, but self_attn makes 4 attention patterns"),
    "mistral": ({"blocks": "lm_head"}, "is no list of modules; lists of blocks here: 'model.lay"),
    "qwen3": ({"groups": 3}, "3 groups are named, but self_attn has 2 different sets of keys"),
    "gemma3": ({"mlp_write": "mlp"}, "do not sum to the block's change"),
    "olmo2": ({"attention_write": "self_attn"}, "do not sum to the block's change"),
    "phi": ({"mlp": "input_layernorm"}, "do not sum to the block's change"),
    "granite": ({"mlp": "input_layernorm"}, "the parts named do not fit"),
    "falcon-multi-query": ({"heads": 8}, "8 heads are named"),
    "falcon-sequential": ({"mlp": "self_attention"}, "do not sum to the block's change"),
    "falcon-new": ({"mlp_write": "ln_mlp"}, "do not sum to the block's change"),
    "bloom": ({"mlp_write": "mlp"}, "do not sum to the block's change"),
    "mixtral": ({"attention": "input_layernorm"}, "input_layernorm is no attention"),
    "qwen3-moe": ({"projection": "v_proj"}, "v_proj reads no heads"),
    "mamba": ({"attention": "norm"}, "norm is no attention"),
    "jamba": ({"mlp": "pre_ff_layernorm"}, "do not sum to the block's change"),
    "falcon-h1": ({"mlp_write": "self_attn"}, "do not sum to the block's change"),
    "lfm2": ({"attention": "feed_forward"}, "feed_forward is no attention"),
}


@pytest.mark.parametrize("family", ZOO)
def test_wrong_names_are_caught(family: str) -> None:
    overrides, message = WRONG[family]
    with pytest.raises(SiteError, match=message):
        dissect(built(ZOO[family].make), tokens(), None, overrides)


def test_a_projection_that_reads_something_else_is_caught() -> None:
    with pytest.raises(SiteError, match=r"zeroing all heads at mlp\.down_proj does not remove the"):
        dissect(built(ZOO["llama"].make), tokens(), None, {"projection": "down_proj"})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"atention": "self_attn"}, r"no part is called 'atention' \(did you mean 'attention'\?\)"),
        ({"heads": "nine"}, "heads is 'nine'; expected a count"),
        ({"heads": True}, "heads is True; expected a count"),
        ({"mlp": 3}, "mlp is 3; expected a module's name"),
        ({"blocks": "model.layer"}, r"'model.layer' is not in LlamaForCausalLM.*model.layers"),
        ({"attention": "self_atn"}, r"block 0 \(LlamaDecoderLayer\) \(did you mean 'self_attn'"),
        ({"mlp_write": "proj"}, "it has self_attn, mlp"),
    ],
)
def test_names_that_name_nothing(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(SiteError, match=message):
        dissect(built(ZOO["llama"].make), tokens(), None, overrides)


class Twice(nn.Module):
    """Two submodules of one name."""

    def __init__(self) -> None:
        super().__init__()
        self.model = built(ZOO["llama"].make)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model(ids, attention_mask=torch.ones_like(ids), use_cache=False).logits


def test_names_that_are_ambiguous() -> None:
    with pytest.raises(SiteError, match="blocks 'mlp' is ambiguous in Twice"):
        dissect(Twice(), tokens(), None, {"blocks": "mlp"})
