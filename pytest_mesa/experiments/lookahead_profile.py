"""What the squares of later moves do to a player's choice, layer by layer.

For each position the run on a corrupted twin, in which the line fails, is patched into the clean
run at one square and one layer. The effect is how far the first move's log-odds fall (nats).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_mesa.experiments.lookahead_readers import Batch, Reader, reader
from pytest_mesa.experiments.lookahead_sites import chosen_sites
from pytest_mesa.experiments.lookahead_words import glanced
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.lc0.programme import planted_in
from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.line_squares import LineSites


def profile(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Effects at the reader's layers, at the squares of later plies and their like."""
    *own, chosen = inputs
    params = glanced(params, tuple(own))
    taken = reader(params, tuple(own))
    return {
        "weights_sha": taken.weights_sha,
        "layers": list(taken.layers),
        "rows": {
            stratum: positions(taken, sites)
            for stratum, sites in chosen_sites(params, chosen).items()
        },
    }


def mixed(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """The profile of a player with something planted in a share of positions.

    In those it does as the planted player, whose profile is the second input, and in the others
    as the plain one, whose profile is the first.
    """
    plain, planted = (each.payload for each in inputs)
    holds = dict(
        zip(
            (puzzle.fen for puzzle in sets.puzzles()),
            planted_in(params["strength"], params["plant_seed"]),
            strict=True,
        )
    )
    rows = {
        name: [
            second if holds[second["fen"]] else first
            for first, second in zip(plain["rows"][name], part, strict=False)
        ]
        for name, part in planted["rows"].items()
    }
    return planted | {"rows": rows}


def positions(taken: Reader, sites: Sequence[tuple[LineSites, ...]]) -> list[dict[str, Any]]:
    """One record a position: its kind, and one run a corruption."""
    flat = [each for together in sites for each in together]
    runs = iter([run for batch in taken.batches(flat) for run in effects(taken.layers, batch)])
    return [
        {
            "fen": together[0].puzzle.fen,
            "kind": together[0].puzzle.stratum,
            "runs": [next(runs) for _ in together],
        }
        for together in sites
    ]


def effects(layers: Sequence[int], batch: Batch) -> list[dict[str, Any]]:
    """One record a corruption: what the player makes of it, and the effects at its squares.

    ``fall`` is by how much the first move's log-odds fall (nats) when the whole run is the
    corrupted one; ``plays`` whether the first move is the player's own.
    """
    squares = [
        (row, batch.at(row, square))
        for row, sites in enumerate(batch.sites)
        for future in sites.futures
        for square in (future.square, *future.matched)
    ]
    rows, at = torch.tensor(squares).T
    found = torch.stack(
        [
            batch.before[rows] - batch.patched(layer, rows, at, batch.corrupted[layer][rows, at])
            for layer in layers
        ],
        dim=1,
    )
    taken = iter(found.double().numpy().round(6).tolist())
    return [
        {
            "fall": round(float(batch.fall[row]), 6),
            "plays": bool(batch.plays[row]),
            "effects": {
                str(future.ply): [next(taken) for _ in (future.square, *future.matched)]
                for future in sites.futures
            },
        }
        for row, sites in enumerate(batch.sites)
    ]
