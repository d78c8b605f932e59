"""Interchange interventions in linear subspaces (Geiger et al. 2021; DAS: Geiger et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from pytest_mesa.instruments.stream import Edit, Site, SiteError, Stream
from pytest_mesa.instruments.subspace import orthonormal

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CHUNK = 1024  # pairs a forward run: bounds memory, large enough to hide call overhead


@dataclass(frozen=True, slots=True)
class Runs:
    """Captured runs on base and source inputs, and the answers looked for.

    ``target`` holds the token of the counterfactual answer of each pair, read at position
    ``read_at``.
    """

    ids: Int[Tensor, "pair pos"]
    base: Float[Tensor, "layer pair pos d_model"]
    source: Float[Tensor, "layer pair pos d_model"]
    target: Int[Tensor, " pair"]
    read_at: int = -1

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: Tensor | slice) -> Runs:
        """Some of the pairs."""
        return Runs(
            self.ids[index],
            self.base[:, index],
            self.source[:, index],
            self.target[index],
            self.read_at,
        )


def swap(
    stream: Float[Tensor, "pair pos d_model"],
    donor: Float[Tensor, "pair d_model"],
    position: int,
    subspace: Float[Tensor, "d_model rank"] | None,
) -> Float[Tensor, "pair pos d_model"]:
    """Move the stream at ``position`` to the donor's value, inside the subspace only.

    ``h + (h_donor - h) Q Q^T``; without a subspace, ``h_donor``.
    """
    change = donor - stream[:, position]
    if subspace is not None:
        change = change @ subspace @ subspace.T
    place = torch.zeros(stream.shape[1]).to(stream)
    place[position] = 1.0
    return stream + change[:, None, :] * place[None, :, None]


def interchange_logits(
    stream: Stream,
    runs: Runs,
    site: Site,
    subspace: Float[Tensor, "d_model rank"] | None,
    donor: Float[Tensor, "layer pair d_model"] | None = None,
) -> Float[Tensor, "pair vocabulary"]:
    """Logits at the answer after the swap. ``donor`` replaces the source run's values.

    Raises:
        SiteError: the subject has no such layer or position.
    """
    if not 0 <= site.position < runs.base.shape[2]:
        raise SiteError(f"position {site.position} is outside 0..{runs.base.shape[2] - 1}")
    if not 0 <= site.layer <= stream.layers:
        raise SiteError(f"layer {site.layer} is outside 0..{stream.layers}")
    values = runs.source[:, :, site.position] if donor is None else donor
    last = stream.layers if site.onward else site.layer
    edits: dict[int, Edit] = {
        layer: _swap_at(values[layer], site.position, subspace)
        for layer in range(site.layer, last + 1)
    }
    logits = stream.resume(runs.ids, runs.base[site.layer], site.layer, edits)
    return logits[:, runs.read_at]


def _swap_at(donor: Tensor, position: int, subspace: Tensor | None) -> Edit:
    return lambda here: swap(here, donor, position, subspace)


def interchange_accuracy(
    stream: Stream,
    runs: Runs,
    site: Site,
    subspace: Float[Tensor, "d_model rank"] | None,
    donor: Float[Tensor, "layer pair d_model"] | None = None,
) -> Float[Tensor, " pair"]:
    """1.0 for each pair whose patched answer is the algorithm's counterfactual.

    Source: Geiger et al. 2021, section 3.
    """
    scores = []
    with torch.no_grad():
        for start in range(0, len(runs), CHUNK):
            part = slice(start, start + CHUNK)
            given = None if donor is None else donor[:, part]
            logits = interchange_logits(stream, runs.take(part), site, subspace, given)
            scores.append((logits.argmax(-1) == runs.target[part]).float())
    return torch.cat(scores)


def train_subspace(
    stream: Stream,
    runs: Runs,
    site: Site,
    start: Float[Tensor, "d_model rank"],
    *,
    steps: int,
    batch: int,
    generator: torch.Generator,
    learning_rate: float = 0.004,
) -> Float[Tensor, "d_model rank"]:
    """Turn a subspace, by gradient, towards the one whose swap gives the counterfactuals.

    Distributed alignment search: cross-entropy of the counterfactual answer, over orthonormal
    bases, the net's weights left alone.
    """
    columns = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([columns], lr=learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, total_iters=steps)
    for _ in range(steps):
        pick = torch.randint(len(runs), (batch,), generator=generator)
        part = runs.take(pick)
        logits = interchange_logits(stream, part, site, orthonormal(columns))
        loss = functional.cross_entropy(logits, part.target)
        (columns.grad,) = torch.autograd.grad(loss, [columns])
        optimiser.step()
        schedule.step()
    return orthonormal(columns).detach()


def sensitivity(
    stream: Stream,
    runs: Runs,
    site: Site,
    contrast: Int[Tensor, " pair"],
    generator: torch.Generator,
) -> Float[Tensor, "d_model d_model"]:
    """How strongly the answer depends on each direction at a site, on the way to the donor.

    The mean outer product of normalised gradients (an active subspace, Constantine 2015) of
    the logit difference between the counterfactual answer and ``contrast`` (the base's
    answer token), at points drawn between base and source. Directions with no eigenvalue
    here reach no answer, however well they encode the state.
    """
    slopes = []
    for start in range(0, len(runs), CHUNK):
        part = slice(start, start + CHUNK)
        some = runs.take(part)
        base = some.base[site.layer]
        along = torch.rand(len(some), 1, generator=generator).to(base)
        shift = along * (some.source[site.layer, :, site.position] - base[:, site.position])
        shift.requires_grad_(True)
        moved = swap(base, base[:, site.position] + shift, site.position, None)
        logits = stream.resume(some.ids, moved, site.layer)[:, some.read_at]
        row = torch.arange(len(some))
        gap = (logits[row, some.target] - logits[row, contrast[part]]).sum()
        slope = torch.autograd.grad(gap, shift)[0]
        slopes.append(slope / (slope.norm(dim=1, keepdim=True) + 1e-12))
    stacked = torch.cat(slopes)
    return stacked.T @ stacked / len(stacked)


def read_subspace(
    encoding: Float[Tensor, "d_model rank"],
    sensitive: Float[Tensor, "d_model d_model"],
    energy: float,
) -> Float[Tensor, "d_model rank"]:
    """The encoding directions, less what of them reaches no answer.

    Projects onto the leading eigenvectors that hold all but ``energy`` of the sensitivity.
    """
    values, vectors = torch.linalg.eigh(sensitive.double())
    lost = values.clamp_min(0).cumsum(0) / values.clamp_min(0).sum()
    kept = vectors[:, lost > energy].float()
    return orthonormal(kept @ (kept.T @ encoding))
