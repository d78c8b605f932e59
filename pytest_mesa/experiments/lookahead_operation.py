"""Is a deeper ply written by the same operation as a shallower one?

What the net writes at the third ply's square, beyond what it writes at squares like it, spans a
subspace. The effect that runs through this subspace at the fifth ply's square is compared with
what runs there through subspaces of equal rank that are fitted, in the same way, at matched
squares alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.experiments.lookahead_cells import Profile, in_turn, rounded, share_beaten
from pytest_mesa.experiments.lookahead_readers import Batch, Reader, reader
from pytest_mesa.experiments.lookahead_sites import chosen_sites
from pytest_mesa.experiments.lookahead_words import glanced
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.tasks.games.line_squares import Future, LineSites

if TYPE_CHECKING:
    from jaxtyping import Float

FLOOR_STREAM = 0x666C6F6F  # apart from other uses of the seed


@dataclass(frozen=True)
class Changes:
    """What the corruption changes in the stream at a position's third-ply square and matched."""

    future: Float[Tensor, " d_model"]
    matched: Float[Tensor, "m d_model"]

    def contrast(self) -> Float[Tensor, " d_model"]:
        """At the future square, beyond its matched ones."""
        return self.future - self.matched.mean(0)

    def placebo(self, rng: np.random.Generator) -> Float[Tensor, " d_model"] | None:
        """The same for a matched square in the future one's place; needs two."""
        if len(self.matched) < 2:
            return None
        taken = int(rng.integers(len(self.matched)))
        rest = torch.arange(len(self.matched)) != taken
        return self.matched[taken] - self.matched[rest].mean(0)


def operation(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """How often the third ply's subspace carries more at the fifth ply's square than a floor's."""
    *own, chosen, profiled = inputs
    params = glanced(params, tuple(own))
    profile = Profile.of(profiled.payload, params["choose"])
    if not any(profile.choose.values()):
        return {"strata": [], "detail": {"operation": {"fitted_on": 0}}}
    taken = reader(params, tuple(own))
    third = profile.best_layer("3")
    layers = profile.layers[third], profile.layers[profile.best_layer("5", third)]
    sites = chosen_sites(params, chosen)
    # One corruption a position, the first: a second says little more about the same squares.
    by_fen = {each[0].puzzle.fen: each[0] for part in sites.values() for each in part}
    fit = [row for rows in profile.choose.values() for row in rows]
    rng = np.random.default_rng([params["seed"], FLOOR_STREAM])
    spaces = subspaces(
        list(changes(taken, [by_fen[row["fen"]] for row in fit], layers[0])),
        params["rank"],
        params["floors"],
        rng,
    )
    scores: list[float] = []
    if spaces:
        measured = [by_fen[row["fen"]] for row in in_turn(profile.measure)]
        for batch in taken.batches(measured):
            scores += carried(batch, layers[1], spaces)
    about = {"rank": params["rank"], "floors": max(0, len(spaces) - 1), "fitted_on": len(fit)}
    return {
        "strata": [stratum("same-operation", scores)] if scores else [],
        "detail": {"operation": about | ({"mean": rounded(scores)} if scores else {})},
    }


def changes(taken: Reader, sites: Sequence[LineSites], layer: int) -> Iterator[Changes]:
    """What the corruption changes at a layer, position by position."""
    for batch in taken.batches(sites):
        change = batch.clean[layer] - batch.corrupted[layer]
        for row, each in enumerate(batch.sites):
            third = required(each, 3)
            at = [batch.at(row, square) for square in third.matched]
            yield Changes(change[row, batch.at(row, third.square)], change[row, at])


def subspaces(
    found: Sequence[Changes], rank: int, floors: int, rng: np.random.Generator
) -> list[Float[Tensor, "d_model rank"]]:
    """The third ply's subspace, then the floors'; none where too few positions were given."""
    sets_of = [[each.contrast() for each in found]]
    for _ in range(floors):
        drawn = (each.placebo(rng) for each in found)
        sets_of.append([each for each in drawn if each is not None])
    if min(map(len, sets_of)) < rank:
        return []
    return [leading(torch.stack(each), rank) for each in sets_of]


def leading(rows: Float[Tensor, "n d_model"], rank: int) -> Float[Tensor, "d_model rank"]:
    """The directions along which rows are longest, mean included."""
    basis: Tensor = torch.linalg.svd(rows.double(), full_matrices=False).Vh[:rank].T.float()
    return basis


def carried(
    batch: Batch, layer: int, spaces: Sequence[Float[Tensor, "d_model rank"]]
) -> list[float]:
    """Per position, the share of floors that the first subspace outdoes at the fifth ply."""
    count = len(batch.sites)
    at = torch.tensor(
        [batch.at(row, required(each, 5).square) for row, each in enumerate(batch.sites)]
    )
    rows = torch.arange(count)
    clean, corrupted = batch.clean[layer][rows, at], batch.corrupted[layer][rows, at]
    donors = torch.cat([clean + (corrupted - clean) @ space @ space.T for space in spaces])
    many = len(spaces)
    after = batch.patched(layer, rows.repeat(many), at.repeat(many), donors)
    moved = (after.view(many, count) - batch.before).abs().double().numpy()
    return [float(score) for score in share_beaten(moved[0], moved[1:])]


def required(sites: LineSites, ply: int) -> Future:
    """The future of that ply of a position that was chosen for having it.

    Raises:
        ValueError: it has none.
    """
    future = sites.future(ply)
    if future is None:
        raise ValueError(f"{sites.puzzle.fen} has no square of its own at ply {ply}")
    return future
