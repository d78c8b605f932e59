"""The two-game decoder: a plain Hugging Face GPT-2 over the tokens of four games."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from pytest_mesa.instruments.stream import Stream
from pytest_mesa.subjects.base import weights_sha
from pytest_mesa.subjects.games_reading import Reading
from pytest_mesa.subjects.games_recipes import GamesRecipe
from pytest_mesa.tasks.games import tokens

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CHUNK = 256
TOGETHER = 64  # games read at once: their keys and values are kept


class GamesDecoder(nn.Module):
    """Token ids to logits over the vocabulary. Padding stands at the end, where nobody reads."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocabulary"]:
        """Next-token logits at every position."""
        out: Tensor = self.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
        ).logits
        return out


@dataclass(eq=False)
class GamesSubject:
    """A net that continues games."""

    label: str
    module: GamesDecoder

    def __post_init__(self) -> None:
        self.module.eval()
        self.module.requires_grad_(False)

    @cached_property
    def stream(self) -> Stream:
        """The net's residual stream, checked on two openings.

        Raises:
            SiteError: reading or writing it does not mean what it should.
        """
        stream = Stream(self.module)
        squares = torch.tensor([[12, 28, 52, 36], [11, 27, 51, 35]]) + tokens.SQUARE
        tags = torch.full((2, 1), int(tokens.Tag.CHESS))
        stream.check(torch.cat([tags, squares], dim=1))
        return stream

    @cached_property
    def weights_sha(self) -> str:
        """Hash of the weights."""
        return weights_sha(self.module)

    def readout(self, stream: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """Logits of single positions' last stream: the final norm and the output matrix."""
        out: Tensor = self.module.model.lm_head(self.module.model.transformer.ln_f(stream))
        return out

    def logits(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocabulary"]:
        """Next-token logits at every position, a few hundred sequences at a time."""
        with torch.no_grad():
            return torch.cat([self.module(part) for part in ids.split(CHUNK)])

    def read(self, ids: Int[Tensor, "game pos"]) -> Iterator[Reading]:
        """The games, `TOGETHER` at a time, as it has read them."""
        for part in ids.split(TOGETHER):
            yield Reading(self.module.model, part)


def configuration(recipe: GamesRecipe) -> GPT2Config:
    """The Hugging Face configuration of a recipe's net."""
    return GPT2Config(
        vocab_size=tokens.VOCABULARY,
        n_positions=recipe.positions,
        n_embd=recipe.d_model,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        n_inner=recipe.d_mlp,
        activation_function="relu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokens.PAD,
        eos_token_id=tokens.PAD,
    )


def untrained(recipe: GamesRecipe, seed: int) -> GamesDecoder:
    """The recipe's net before its first step; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GamesDecoder(GPT2LMHeadModel(configuration(recipe)))


def saved(folder: Path) -> GamesDecoder:
    """The net that a training cell saved, in float32 whatever the file holds."""
    model = GPT2LMHeadModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    return GamesDecoder(model)


def rung_folder(step: int) -> str:
    """The folder, inside a training cell's, of the net after so many steps."""
    return f"step-{step:05d}"


def save(decoder: GamesDecoder, folder: Path) -> None:
    """Save as Hugging Face safetensors in half precision; the decoder is rounded to it.

    Rounded in place, so that whatever is measured next is measured on what is kept.
    """
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(parameter.half().float())
    decoder.model.half().save_pretrained(folder)
    decoder.model.float()
