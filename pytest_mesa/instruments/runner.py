"""One way to run any decoder: token ids and an optional attention mask in, logits out."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class Runner(Protocol):
    """Maps ids and a mask (1 where there is a token, 0 where padding) to logits."""

    def __call__(
        self, ids: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"] | None = None
    ) -> Float[Tensor, "batch pos vocabulary"]: ...


def runner_of(module: nn.Module) -> Runner:
    """How to run a module: as a Hugging Face decoder if it takes ``input_ids``, else plainly.

    A plain module is called ``module(ids)``, and ``module(ids, mask)`` where a mask is given.
    """
    parameters = inspect.signature(module.forward).parameters
    return (
        _HuggingFace(module, frozenset(parameters)) if "input_ids" in parameters else _plain(module)
    )


def _plain(module: nn.Module) -> Runner:
    def run(ids: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = module(ids) if mask is None else module(ids, mask)
        return out

    return run


class _HuggingFace:
    """A Hugging Face decoder, without a cache.

    A mask is always given: without one, transformers takes equal position ids for packed
    sequences and lets no token read another. Positions count real tokens, so that padding on
    the left does not move a prompt.
    """

    def __init__(self, module: nn.Module, parameters: frozenset[str]) -> None:
        self.module = module
        self.parameters = parameters

    def __call__(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        given = torch.ones_like(ids) if mask is None else mask.to(ids)
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": given}
        if "use_cache" in self.parameters:
            inputs["use_cache"] = False
        if mask is not None and "position_ids" in self.parameters:
            inputs["position_ids"] = (given.cumsum(-1) - 1).clamp_min(0)
        out: Tensor = self.module(**inputs).logits
        return out
