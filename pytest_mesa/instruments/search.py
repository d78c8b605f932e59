"""Where, if anywhere, does a subspace carry a state? A search with a stated budget.

Coarse to fine: every site is screened with a subspace that needs no training, the best get
two more starts, the best of these a trained subspace. Choices are made on pairs that the
measurement never sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_mesa.instruments.interchange import (
    Runs,
    interchange_accuracy,
    read_subspace,
    sensitivity,
    train_subspace,
)
from pytest_mesa.instruments.stream import Site, Stream
from pytest_mesa.instruments.subspace import encoding_subspace

if TYPE_CHECKING:
    from jaxtyping import Float, Int

REFINED = 3  # sites that get all starts, for each site that gets a trained subspace
SENSITIVE_PAIRS = 256  # gradients for a d_model x d_model mean: several times its width
LOST = 1e-3  # share of the sensitivity below which directions count as unread


@dataclass(frozen=True, slots=True)
class Material:
    """What a search may use: training pairs, pairs to select on, the state, the rest.

    ``state`` and ``nuisance`` belong to the training pairs' source runs and then to their base
    runs; ``contrast`` holds the base's answer token of each training pair.
    """

    train: Runs
    select: Runs
    state: Float[Tensor, "run cell"]
    nuisance: Float[Tensor, "run feature"]
    contrast: Int[Tensor, " pair"]


@dataclass(frozen=True, slots=True)
class Budget:
    """The search's budget, as a spec states it."""

    rank: int
    screen_pairs: int
    sites: int
    steps: int
    batch: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A site with a subspace, how it came about, and its score on the selection pairs."""

    site: Site
    subspace: Float[Tensor, "d_model rank"]
    origin: str
    score: float


def candidate_sites(layers: int, first: int, last: int) -> list[Site]:
    """Every place from position ``first`` on: each layer alone, and each layer onward.

    At positions before the ``last`` the stream leaving the last block reaches nothing.
    """
    sites = []
    for position in range(first, last + 1):
        top = layers if position == last else layers - 1
        sites += [Site(layer, position) for layer in range(top + 1)]
        sites += [Site(layer, position, onward=True) for layer in range(top)]
    return sites


def _encoding(
    material: Material, site: Site, rank: int, generator: torch.Generator
) -> Float[Tensor, "d_model rank"]:
    runs = material.train
    here = [whole[site.layer, :, site.position] for whole in (runs.source, runs.base)]
    return encoding_subspace(torch.cat(here), material.state, material.nuisance, rank, generator)


def _screen(
    stream: Stream, material: Material, sites: list[Site], budget: Budget, g: torch.Generator
) -> list[tuple[Site, Tensor]]:
    """Every site with its encoding subspace, best first.

    A full patch counts too where it may: a site whose whole content does nothing has no
    subspace that does, unless (at the last position) it overwrites what should stay.
    """
    few = material.train.take(slice(0, budget.screen_pairs))
    last = max(site.position for site in sites)
    subspaces: dict[tuple[int, int], Tensor] = {}
    rows = []  # score, encoding alone, site, subspace
    for site in sites:
        place = (site.layer, site.position)
        if place not in subspaces:
            subspaces[place] = _encoding(material, site, budget.rank, g)
        encoded = float(interchange_accuracy(stream, few, site, subspaces[place]).mean())
        score = encoded
        if site.position != last:
            score = max(score, float(interchange_accuracy(stream, few, site, None).mean()))
        rows.append((score, encoded, site, subspaces[place]))
    rows.sort(key=lambda row: (-row[0], -row[1], row[2]))
    return [(site, subspace) for _, _, site, subspace in rows]


def _starts(
    stream: Stream, material: Material, site: Site, encoding: Tensor, g: torch.Generator
) -> Candidate:
    """The best untrained subspace of a site: encoding, what of it is read, or most sensitive."""
    few = material.train.take(slice(0, SENSITIVE_PAIRS))
    felt = sensitivity(stream, few, site, material.contrast[:SENSITIVE_PAIRS], g)
    options = {
        "encoding": encoding,
        "read encoding": read_subspace(encoding, felt, LOST),
        "most sensitive": torch.linalg.eigh(felt).eigenvectors[:, -encoding.shape[1] :],
    }
    found = [
        Candidate(
            site, q, name, float(interchange_accuracy(stream, material.select, site, q).mean())
        )
        for name, q in options.items()
    ]
    return max(found, key=lambda candidate: candidate.score)


def search(
    stream: Stream,
    material: Material,
    sites: list[Site],
    budget: Budget,
    generator: torch.Generator,
) -> list[Candidate]:
    """The candidates that were looked at closely, best first by the selection pairs."""
    screened = _screen(stream, material, sites, budget, generator)
    refined = [
        _starts(stream, material, site, encoding, generator)
        for site, encoding in screened[: REFINED * budget.sites]
    ]
    refined.sort(key=lambda candidate: -candidate.score)
    found = list(refined)
    for candidate in refined[: budget.sites]:
        trained = train_subspace(
            stream,
            material.train,
            candidate.site,
            candidate.subspace,
            steps=budget.steps,
            batch=budget.batch,
            generator=generator,
        )
        accuracy = interchange_accuracy(stream, material.select, candidate.site, trained)
        score = float(accuracy.mean())
        found.append(Candidate(candidate.site, trained, f"{candidate.origin}, trained", score))
    return sorted(found, key=lambda candidate: -candidate.score)
