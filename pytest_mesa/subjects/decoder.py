"""The knapsack decoder: a Hugging Face GPT-2 without positions, optionally a staircase."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from pytest_mesa.instruments.past import Past
from pytest_mesa.subjects.recipes import Recipe, Wiring
from pytest_mesa.tasks.knapsack import tokens

if TYPE_CHECKING:
    from jaxtyping import Float, Int

STEADY = 4  # queries: with fewer, the attention kernel sums in another order


def staircase_mask(layer: int, length: int) -> Float[Tensor, "1 1 query key"]:
    """Additive attention mask in which only position ``layer + 2`` reads its predecessor.

    Position 0 is BOS and position 1 the first item, so layer 0 lets the second item read the
    first; every other position reads itself alone.
    """
    mask = torch.full((length, length), torch.finfo(torch.float32).min)
    mask.fill_diagonal_(0.0)
    if layer + 2 < length:
        mask[layer + 2, layer + 1] = 0.0
    return mask[None, None]


def inputs(ids: Int[Tensor, "batch pos"]) -> dict[str, Any]:
    """The model's arguments for a set without positions.

    The mask is given although nothing is padded: without one, transformers takes equal
    position ids for packed sequences and lets no token read another.
    """
    return {
        "input_ids": ids,
        "position_ids": torch.zeros_like(ids),
        "attention_mask": torch.ones_like(ids),
        "use_cache": False,
    }


class KnapsackDecoder(nn.Module):
    """Token ids to logits over the vocabulary, positions left out."""

    def __init__(self, model: GPT2LMHeadModel, wiring: Wiring) -> None:
        super().__init__()
        self.model = model
        if wiring == "staircase":
            for layer, block in enumerate(model.transformer.h):
                block.register_forward_pre_hook(_Staircase(layer, block), with_kwargs=True)

    def forward(
        self, ids: Int[Tensor, "batch pos"], past: Past | None = None
    ) -> Float[Tensor, "batch pos vocabulary"]:
        """Next-token logits at every position, or at those after the past."""
        given = inputs(ids)
        if past is not None:
            for name in ("input_ids", "position_ids"):
                given[name] = given[name][:, past.length :]
            given |= {"past_key_values": DynamicCache(past.kept), "use_cache": True}
        out: Tensor = self.model(**given).logits
        return out

    def remember(self, ids: Int[Tensor, "batch pos"]) -> Past:
        """A whole run; its keys and values."""
        given = inputs(ids) | {"use_cache": True}
        layers = self.model(**given).past_key_values.layers
        kept = tuple((layer.keys, layer.values) for layer in layers)
        return Past(kept, for_gradients=STEADY)


class _Staircase:
    """Replaces the attention mask that a block is given."""

    def __init__(self, layer: int, block: nn.Module) -> None:
        self.layer = layer
        self.signature = inspect.signature(block.forward)

    def __call__(
        self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        call = self.signature.bind_partial(*args, **kwargs)
        hidden: Tensor = call.arguments["hidden_states"]
        cache = call.arguments.get("past_key_values")
        past = 0 if cache is None else cache.get_seq_length(self.layer)
        mask = staircase_mask(self.layer, past + hidden.shape[1])[:, :, past:]
        call.arguments["attention_mask"] = mask.to(hidden)
        return call.args, call.kwargs


def configuration(recipe: Recipe) -> GPT2Config:
    """The Hugging Face configuration of a recipe's net."""
    return GPT2Config(
        vocab_size=tokens.VOCABULARY,
        n_positions=16,
        n_embd=recipe.d_model,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        n_inner=recipe.d_mlp,
        activation_function="relu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokens.BOS,
        eos_token_id=tokens.BOS,
    )


def untrained(recipe: Recipe, seed: int) -> KnapsackDecoder:
    """The recipe's net before its first step; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(configuration(recipe))
    return KnapsackDecoder(model, recipe.wiring)
