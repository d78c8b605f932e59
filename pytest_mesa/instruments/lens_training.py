"""Fitting a tuned lens: one affine map a layer that makes its answer most like the net's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_mesa.instruments.lens import Lens, Readout, Translators, carried
from pytest_mesa.instruments.stream import SiteError
from pytest_mesa.instruments.subspace import ridge

if TYPE_CHECKING:
    from jaxtyping import Float


ASIDE = 0.2  # of the rows, put aside to choose between maps
PENALTY = 1e-4  # of the mean variance: streams have a few loud directions


@dataclass(frozen=True, slots=True)
class Fit:
    """How long and how boldly to fit, ``batch`` rows a step.

    ``learning_rate`` is how far one step may move a layer's stream, as a share of its size; it
    falls to a tenth by the end.
    """

    steps: int = 300
    batch: int = 64
    learning_rate: float = 0.1


def tuned_lens(
    readout: Readout,
    values: Float[Tensor, "layer row d_model"],
    generator: torch.Generator,
    fit: Fit = Fit(),
) -> Lens:
    """Fit translators by minimising KL(last ‖ layer) over rows of captured streams.

    Rows are to come from a split of their own: what the lens then says is measured on others.
    Each layer starts from the identity or from the least-squares map to the last stream, and
    ends with the best of start, identity and trained map, by rows put aside for this choice:
    where there is too little to fit, a layer is read as by the logit lens. Source: Belrose et
    al. 2023, section 3.

    Raises:
        SiteError: there is no block, or there are fewer than two rows.
    """
    if values.ndim < 3 or len(values) < 2 or values.shape[1] < 2:
        raise SiteError("a tuned lens needs rows of a stream with at least one block")
    order = torch.randperm(values.shape[1], generator=generator).to(values.device)
    aside = max(1, round(ASIDE * len(order)))
    chosen, rest = values[:, order[:aside]], values[:, order[aside:]]
    layers, width = len(values) - 1, values.shape[-1]
    same = Translators(
        torch.zeros(layers, width, width, device=values.device),
        torch.zeros(layers, width, device=values.device),
    )
    start = _best(readout, [same, _least_squares(rest)], chosen)
    trained = _trained(readout, start, rest, generator, fit)
    return Lens(readout, _best(readout, [start, trained], chosen))


def _least_squares(values: Float[Tensor, "layer row d_model"]) -> Translators:
    """Each layer's stream regressed onto the last: exact where blocks only turn it."""
    rows = values.flatten(1, -2).float()
    found = [ridge(here, rows[-1], PENALTY) for here in rows[:-1]]
    same = torch.eye(values.shape[-1], device=values.device)
    return Translators(
        torch.stack([matrix.T - same for matrix, _ in found]),
        torch.stack([shift for _, shift in found]),
    )


def _best(readout: Readout, options: list[Translators], values: Tensor) -> Translators:
    """Layer by layer, the maps with the least divergence."""
    layers = range(len(values) - 1)
    losses = torch.stack(
        [Lens(readout, maps).scores(values).divergence[:-1].mean(1) for maps in options]
    )
    picked = losses.nan_to_num(nan=torch.inf).argmin(0).tolist()
    return Translators(
        torch.stack([options[picked[layer]].weight[layer] for layer in layers]),
        torch.stack([options[picked[layer]].bias[layer] for layer in layers]),
    )


def _trained(
    readout: Readout, start: Translators, values: Tensor, generator: torch.Generator, fit: Fit
) -> Translators:
    """Maps after some steps of Adam, all layers on the same rows."""
    layers, width = len(values) - 1, values.shape[-1]
    weights = [weight.clone().requires_grad_(True) for weight in start.weight]
    biases = [bias.clone().requires_grad_(True) for bias in start.bias]
    rates: list[dict[str, Any]] = [{"params": weights, "lr": fit.learning_rate / width}]
    for bias, layer in zip(biases, values, strict=False):
        size = float(layer.float().square().mean().sqrt())
        rates.append({"params": [bias], "lr": fit.learning_rate * size})
    optimiser = torch.optim.Adam(rates)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, total_iters=fit.steps)
    at_once = Lens(readout).rows_at_once(values)
    for _ in range(fit.steps):
        rows = torch.randint(values.shape[1], (fit.batch,), generator=generator)
        optimiser.zero_grad()
        for part in values[:, rows.to(values.device)].split(at_once, 1):
            with torch.no_grad():
                last = readout(part[-1]).float().log_softmax(-1)
            for layer in range(layers):  # each has a loss of its own
                here = carried(part[layer], weights[layer], biases[layer])
                logs = readout(here).float().log_softmax(-1)
                ((last.exp() * (last - logs)).sum() / fit.batch).backward()
        optimiser.step()
        schedule.step()
    return Translators(torch.stack(weights).detach(), torch.stack(biases).detach())
