"""Interchange interventions in linear subspaces (Geiger et al. 2021; DAS: Geiger et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from pytest_mesa.instruments.past import Past
from pytest_mesa.instruments.stream import Edit, Site, SiteError, Stream
from pytest_mesa.instruments.subspace import orthonormal

if TYPE_CHECKING:
    from jaxtyping import Float, Int

CHUNK = 1024  # pairs a forward run: bounds memory, large enough to hide call overhead


@dataclass(frozen=True, slots=True)
class Runs:
    """Captured runs on base and source inputs, and the answers looked for.

    ``target`` holds the token of the counterfactual answer of each pair, read at position
    ``read_at``. With the ``past`` of the base runs, only positions that a swap can change are
    computed again.
    """

    ids: Int[Tensor, "pair pos"]
    base: Float[Tensor, "layer pair pos d_model"]
    source: Float[Tensor, "layer pair pos d_model"]
    target: Int[Tensor, " pair"]
    read_at: int = -1
    past: Past | None = None

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
            None if self.past is None else self.past.take(index),
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """What swaps at one site need of the runs: the stream there, from ``first`` on."""

    site: Site
    first: int
    read_at: int
    ids: Int[Tensor, "pair pos"]
    stream: Float[Tensor, "pair later d_model"]
    donor: Float[Tensor, "layer pair d_model"]
    past: Past | None

    @property
    def position(self) -> int:
        """The site's position, counted from ``first``."""
        return self.site.position - self.first

    def take(self, index: Tensor | slice) -> _Place:
        """Some of the pairs."""
        return replace(
            self,
            ids=self.ids[index],
            stream=self.stream[index],
            donor=self.donor[:, index],
            past=None if self.past is None else self.past.take(index),
        )

    def answer(
        self, stream: Stream, moved: Tensor, edits: Mapping[int, Edit]
    ) -> Float[Tensor, "pair vocabulary"]:
        """Logits at the answer, run on from the site."""
        logits = stream.resume(self.ids, moved, self.site.layer, edits, past=self.past)
        return logits[:, self.read_at - self.first]


def _place(
    stream: Stream,
    runs: Runs,
    site: Site,
    donor: Float[Tensor, "layer pair d_model"] | None = None,
    *,
    gradients: bool = False,
) -> _Place:
    """One site of the runs, from as late on as its past allows."""
    positions = runs.base.shape[2]
    if not 0 <= site.position < positions:
        raise SiteError(f"position {site.position} is outside 0..{positions - 1}")
    if not 0 <= site.layer <= stream.layers:
        raise SiteError(f"layer {site.layer} is outside 0..{stream.layers}")
    read_at = runs.read_at % positions
    past, least = runs.past, None
    if past is not None:
        least = past.for_gradients if gradients else past.for_logits
    first = 0 if least is None else max(0, min(site.position, read_at, positions - least))
    return _Place(
        site,
        first,
        read_at,
        runs.ids,
        runs.base[site.layer, :, first:],
        runs.source[:, :, site.position] if donor is None else donor,
        past.before(first) if past is not None and first else None,
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
    return _swapped(stream, _place(stream, runs, site, donor), subspace)


def _swapped(
    stream: Stream, place: _Place, subspace: Float[Tensor, "d_model rank"] | None
) -> Float[Tensor, "pair vocabulary"]:
    site = place.site
    last = stream.layers if site.onward else site.layer
    edits: dict[int, Edit] = {
        layer: _swap_at(place.donor[layer], place.position, subspace)
        for layer in range(site.layer, last + 1)
    }
    return place.answer(stream, place.stream, edits)


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
    place = _place(stream, runs, site, donor)
    with torch.no_grad():
        for start in range(0, len(runs), CHUNK):
            part = slice(start, start + CHUNK)
            logits = _swapped(stream, place.take(part), subspace)
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
    place = _place(stream, runs, site, gradients=True)
    columns = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([columns], lr=learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, total_iters=steps)
    for _ in range(steps):
        pick = torch.randint(len(runs), (batch,), generator=generator)
        logits = _swapped(stream, place.take(pick), orthonormal(columns))
        loss = functional.cross_entropy(logits, runs.target[pick])
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
    place = _place(stream, runs, site, gradients=True)
    for start in range(0, len(runs), CHUNK):
        part = slice(start, start + CHUNK)
        some = place.take(part)
        base = some.stream
        own = base[:, some.position]
        along = torch.rand(len(base), 1, generator=generator).to(base)
        shift = along * (some.donor[site.layer] - own)
        shift.requires_grad_(True)
        moved = swap(base, own + shift, some.position, None)
        logits = some.answer(stream, moved, {})
        row = torch.arange(len(base))
        gap = (logits[row, runs.target[part]] - logits[row, contrast[part]]).sum()
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
