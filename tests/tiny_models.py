"""Tiny random models with a real tokenizer, saved as a newcomer would save theirs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

CORPUS = [
    "The cat sat on the mat. Two and two make four, it is said.",
    "The capital of France is Paris. The capital of Japan is Tokyo, not London.",
    "12 + 30 = 42, 10 + 11 = 21 and 137 is a number. The dog and the cat are 10 and 12.",
] * 4
VOCABULARY = 320
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = SIZES | {"intermediate_size": 48, "num_key_value_heads": 2}


def tokenizer(*, begins: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE that merges over spaces; ``begins`` puts a token before each text."""
    return PreTrainedTokenizerFast(
        tokenizer_object=_trained(begins), bos_token="<s>", eos_token="</s>"
    )


@cache
def _trained(begins: bool) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if begins:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    return made


CONFIGURATIONS: dict[str, Any] = {
    "llama": lambda **v: LlamaConfig(**LLAMA, **v),
    "mistral-window": lambda **v: MistralConfig(**LLAMA, sliding_window=8, **v),
    "gpt2-absolute": lambda **v: GPT2Config(n_embd=32, n_layer=2, n_head=4, **v),
    "opt-from-mask": lambda **v: OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32, **v),
    "falcon-alibi": lambda **v: FalconConfig(**SIZES, alibi=True, **v),
    "gemma3-tied": lambda **v: Gemma3TextConfig(
        **LLAMA,
        head_dim=8,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention"],
        **v,
    ),
    "mamba-no-cache": lambda **v: MambaConfig(
        hidden_size=32, num_hidden_layers=2, state_size=4, time_step_rank=4, **v
    ),
}


def model(kind: str = "llama", seed: int = 0, **more: Any) -> PreTrainedModel:
    """A random model; its weights are large enough for logits to differ between contexts."""
    vocabulary = len(tokenizer())
    configuration: PreTrainedConfig = CONFIGURATIONS[kind](
        vocab_size=vocabulary, bos_token_id=0, eos_token_id=1, pad_token_id=1, **more
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made: PreTrainedModel = AutoModelForCausalLM.from_config(configuration)
        with torch.no_grad():
            for weight in made.parameters():
                if weight.ndim > 1:
                    weight.mul_(6)
    return made.eval()


def save(folder: Path, kind: str = "llama", seed: int = 0, **more: Any) -> Path:
    """A directory as ``save_pretrained`` leaves it, tokenizer included."""
    model(kind, seed, **more).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
