"""Norms as formulas, so that a gradient behind one can be moved before it without autograd.

``norm(x) = gain * hat(x) + shift`` with ``hat(x) = (x - m) / s``, where ``m`` is the mean or 0
and ``s² = mean((x - m)²) + eps``. A gradient ``v`` after the norm is, before it,
``(centred(gain * v) - hat(x) * mean(hat(x) * gain * v)) / s``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Float

_PROBES = 32
_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4}  # half precision: 2e-2


@dataclass(frozen=True, slots=True)
class Norm:
    """A norm's formula, in float32. Without a module: nothing is done, ``hat(x) = x``."""

    module: nn.Module | None
    gain: Float[Tensor, " d_model"]
    shift: Float[Tensor, " d_model"]
    eps: float = 0.0
    centred: bool = False

    def hat(
        self, stream: Float[Tensor, "*row d_model"]
    ) -> tuple[Float[Tensor, "*row d_model"], Float[Tensor, "*row 1"]]:
        """The normalised stream before the gain, and ``1 / s``."""
        x = stream.float()
        if self.module is None:
            return x, torch.ones_like(x[..., :1])
        if self.centred:
            x = x - x.mean(-1, keepdim=True)
        scale = (x.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return x * scale, scale


def identity(d_model: int, like: Tensor) -> Norm:
    """No norm."""
    ones = torch.ones(d_model, device=like.device)
    return Norm(None, ones, torch.zeros_like(ones))


def fit_norm(module: nn.Module, example: Float[Tensor, "*row d_model"], name: str) -> Norm:
    """A module's formula, found from what it does to random streams.

    The gain is not read from the weights: some nets store it less one.

    Raises:
        SiteError: it is neither a layer norm nor a root-mean-square norm.
    """
    d_model = example.shape[-1]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2 * _PROBES, d_model, generator=generator).to(example)
    drawn = drawn * example.float().std().clamp_min(1e-3).to(example)
    eps = next((float(getattr(module, key)) for key in _EPS if _is_number(module, key)), 0.0)
    with torch.no_grad():
        up, down = module(drawn).float(), module(-drawn).float()
    shift = ((up + down) / 2).mean(0)
    odd = (up - down) / 2
    worst = _TOLERANCE.get(example.dtype, 2e-2) * float(odd.abs().max())
    for centred in (False, True):
        norm = Norm(module, torch.ones_like(shift), shift, eps, centred)
        hat, _ = norm.hat(drawn)
        seen, kept = hat[:_PROBES], hat[_PROBES:]  # fitted on one half, checked on the other
        gain = (odd[:_PROBES] * seen).sum(0) / seen.square().sum(0)
        if float((odd[_PROBES:] - kept * gain).abs().max()) <= worst:
            return Norm(module, gain, shift, eps, centred)
    raise SiteError(
        f"{name} is neither a layer norm nor a root-mean-square norm; "
        "attribution needs the norm's formula"
    )


_EPS = ("eps", "variance_epsilon", "epsilon")


def _is_number(module: nn.Module, key: str) -> bool:
    return isinstance(getattr(module, key, None), int | float)
