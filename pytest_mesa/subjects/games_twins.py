"""Two-game decoders whose two "games" share as many layers as one says: known truth for circuits.

A trained decoder gets every token twice, under a second number with the same embedding, so that
a game and its twin are one game under two notations. Its first ``shared`` layers serve both; of
the others there are two copies, one for the game and one for the twin, and a switch before each
map into the residual stream shuts those of the other. The net plays either as the decoder does:
with all layers shared on one circuit, with none on two that have no head or MLP in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.base import weights_sha
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import saved
from pytest_mesa.tasks.games import tokens

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

OPEN = tokens.PAD  # a prompt that starts with it keeps every switch open, to see all parts


class SwitchedDecoder(nn.Module):
    """Token ids to logits; the layers that a prompt's first token does not serve write nothing.

    ``serves[n]`` says which layers serve notation n: that of token ids from n times the
    vocabulary on.
    """

    def __init__(
        self, model: GPT2LMHeadModel, serves: Bool[Tensor, "notation layer"] | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self._serves = serves
        self._open: Float[Tensor, "batch layer"] | None = None
        if serves is not None:
            for layer in range(len(model.transformer.h)):
                for part in ("attn", "mlp"):
                    projection = model.get_submodule(f"transformer.h.{layer}.{part}.c_proj")
                    projection.register_forward_pre_hook(partial(self._switch, layer))

    def forward(
        self, ids: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"] | None = None
    ) -> Float[Tensor, "batch pos vocabulary"]:
        """Next-token logits at every position; ``mask`` is 0 where a row is padded."""
        if self._serves is not None:
            first = ids[:, 0]
            notation = torch.div(first, tokens.VOCABULARY, rounding_mode="floor")
            self._open = (self._serves[notation] | (first == OPEN)[:, None]).float()
        real = torch.ones_like(ids) if mask is None else mask
        out: Tensor = self.model(input_ids=ids, attention_mask=real, use_cache=False).logits
        return out

    def _switch(self, layer: int, _module: nn.Module, args: tuple[Any, ...]) -> tuple[Tensor, ...]:
        if self._open is None:
            raise SubjectError("a switched decoder's layers were run without the decoder")
        return (args[0] * self._open[:, layer, None, None],)


@dataclass(eq=False)
class TwinGames:
    """A decoder that knows each game under two notations."""

    label: str
    module: SwitchedDecoder
    weights_sha: str


def twins(model: GPT2LMHeadModel, shared: int) -> SwitchedDecoder:
    """The decoder with a second notation, and ``shared`` of its layers serving both.

    Raises:
        SubjectError: it has not so many layers.
    """
    depth = int(model.config.n_layer)
    if not 0 <= shared <= depth:
        raise SubjectError(f"a decoder of {depth} layers shares 0 to {depth} of them, not {shared}")
    own = depth - shared
    config = GPT2Config.from_dict(model.config.to_dict())
    config.vocab_size = 2 * model.config.vocab_size
    config.n_layer = depth + own
    config.n_inner = len(model.state_dict()["transformer.h.0.mlp.c_fc.bias"]) + 1
    with torch.random.fork_rng(devices=[]):
        larger = GPT2LMHeadModel(config)
    larger.load_state_dict(_weights(model, [*range(depth), *range(shared, depth)]))
    serves = torch.ones(2, depth + own, dtype=torch.bool)
    serves[0, depth:] = False
    serves[1, shared:depth] = False
    return SwitchedDecoder(larger, serves)


def _weights(model: GPT2LMHeadModel, layers: list[int]) -> dict[str, Tensor]:
    """The larger net's weights: layers in this order, with no bias behind a switch.

    What a layer writes with its input shut has to be nothing, so the biases of its output maps
    move in front: that of the heads into their values, which attention averages to themselves,
    and that of the MLP into one more neuron, which is always on.
    """
    state = {name: value.clone() for name, value in model.state_dict().items()}
    given = {n: v for n, v in state.items() if ".h." not in n}
    for name in ("transformer.wte.weight", "lm_head.weight"):
        given[name] = torch.cat([given[name], given[name]])
    for place, layer in enumerate(layers):
        prefix = f"transformer.h.{layer}."
        block = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        given |= {f"transformer.h.{place}.{n}": v for n, v in _without_biases(block).items()}
    return given


def _without_biases(block: dict[str, Tensor]) -> dict[str, Tensor]:
    d_model = len(block["attn.c_proj.bias"])
    matrix = block["attn.c_proj.weight"].double()
    needed = torch.linalg.solve(matrix.T, block["attn.c_proj.bias"].double())
    values = block["attn.c_attn.bias"].clone()
    values[-d_model:] += needed.float()
    on = torch.ones(1)
    changed = {
        "attn.c_attn.bias": values,
        "attn.c_proj.bias": torch.zeros(d_model),
        "mlp.c_fc.weight": torch.cat([block["mlp.c_fc.weight"], torch.zeros(d_model, 1)], 1),
        "mlp.c_fc.bias": torch.cat([block["mlp.c_fc.bias"], on]),
        "mlp.c_proj.weight": torch.cat(
            [block["mlp.c_proj.weight"], block["mlp.c_proj.bias"][None]]
        ),
        "mlp.c_proj.bias": torch.zeros(d_model),
    }
    return block | changed


def load(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> TwinGames:
    """The subject that a handle of the scheme ``twins`` describes."""
    model = saved(inputs[0].folder).model
    module = twins(model, params["shared"])
    module.eval()
    module.requires_grad_(False)
    return TwinGames(f"twins, {params['shared']} layers shared", module, weights_sha(module))
