"""Sweeps equal TransformerLens' own, with unprocessed weights, on nets of three shapes."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from typing import Any

import pytest
import torch
from decoder_zoo import HEADS, LAYERS, VOCABULARY, ZOO, built, tokens
from torch import Tensor

from pytest_mesa.instruments import patching
from pytest_mesa.instruments.anatomy import Anatomy
from pytest_mesa.instruments.dissect import dissect

pytest.importorskip("transformer_lens")
EQUAL = 1e-4  # relative: its attention is another implementation
NAMES = {"gpt2": "gpt2", "llama": "meta-llama/Llama-2-7b-hf", "neox": "EleutherAI/pythia-70m"}


@pytest.fixture(scope="module", params=NAMES)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Anatomy, Any]:
    """A net taken apart, and TransformerLens around a copy of it."""
    kind: str = request.param
    from tokenizers import Tokenizer, models
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerFast

    module = built(ZOO[kind].make)
    if kind == "neox":  # without grouped queries, whose number the zoo names all the same
        del module.config.num_key_value_heads
    words = {f"w{number}": number for number in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")),
        unk_token="w0",
        bos_token="w1",
        eos_token="w2",
        pad_token="w0",
    )
    folder = tmp_path_factory.mktemp("tokenizer")  # it loads its own again, by path
    tokenizer.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bridge = TransformerBridge.boot_transformers(
            NAMES[kind], hf_model=copy.deepcopy(module), tokenizer=tokenizer
        )
    return dissect(module, tokens()), bridge


def metric(logits: Tensor) -> Tensor:
    return (logits * torch.sin(torch.arange(VOCABULARY))).sum(-1)


def theirs(bridge: Any, clean: Tensor, corrupted: Tensor, name: str, index: str) -> Tensor:
    """Its generic patch, with its own setters: the metric's mean over prompts."""
    from transformer_lens import patching as lens

    setters = {
        "pos": lens.layer_pos_patch_setter,
        "head_index": lens.layer_head_vector_patch_setter,
    }
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        _, cache_of_clean = bridge.run_with_cache(clean)
        return lens.generic_activation_patch(
            bridge,
            corrupted,
            cache_of_clean,
            lambda logits: metric(logits[:, -1]).mean(),
            setters[index],
            name,
            index_axis_names=("layer", index),
        )


@pytest.mark.parametrize(
    ("sweep", "name", "index"),
    [
        (patching.sweep_residual, "resid_pre", "pos"),
        (patching.sweep_attention, "attn_out", "pos"),
        (patching.sweep_mlp, "mlp_out", "pos"),
        (patching.sweep_heads, "z", "head_index"),
    ],
)
def test_sweeps_equal_those_of_transformer_lens(
    both: tuple[Anatomy, Any], sweep: Any, name: str, index: str
) -> None:
    net, bridge = both
    clean, corrupted = tokens(2, 6, 3), tokens(2, 6, 4)
    got = sweep(net, clean, corrupted, metric).mean(0)
    want = theirs(bridge, clean, corrupted, name, index)
    assert got.shape == want.shape == (LAYERS, HEADS if index == "head_index" else 6)
    assert float((got - want).abs().max()) <= EQUAL * float(want.abs().max())
    assert float(want.std()) > 100 * EQUAL
