"""What the squares of later moves do to a player's choice, layer by layer.

For each position the run on a corrupted twin, in which the line fails, is patched into the clean
run at one square and one layer. The effect is how far the first move's log-odds fall (nats).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import chess
import numpy as np
import torch

from pytest_mesa.experiments.lookahead_readers import Batch, Reader, reader
from pytest_mesa.experiments.lookahead_words import glanced
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.line_squares import PLIES, LineSites, line_sites

STREAM = 0x6C6F6F6B  # apart from other uses of the seed


def measured_sites(
    strata: Mapping[str, Sequence[str]],
    counts: Mapping[str, int],
    matched: int,
    seed: int,
    plies: Sequence[int] = PLIES,
    *,
    paired: bool = False,
) -> dict[str, list[tuple[LineSites, ...]]]:
    """Positions by stratum, in the registered order, as many of each as asked for and there.

    Which positions serve is a matter of the boards alone: one in which each of these plies ends
    on a square of its own that has a matched one. A position comes with all corruptions that
    leave one; where ``paired``, only with those whose own best move is legal in the position too,
    so that the choice can be held to it.
    """
    puzzles = sets.puzzles()
    order = np.random.default_rng([seed, STREAM]).permutation(len(puzzles)).tolist()
    of = {name: stratum for stratum, names in strata.items() for name in names}
    found: dict[str, list[tuple[LineSites, ...]]] = {stratum: [] for stratum in strata}
    for puzzle in (puzzles[number] for number in order):
        stratum = of.get(puzzle.stratum)
        if stratum is None or len(found[stratum]) >= counts[stratum]:
            continue
        given = [each for each in puzzle.corruptions if not paired or _legal(puzzle, each.best)]
        tried = (line_sites(puzzle, each, matched, plies) for each in given)
        if served := tuple(sites for sites in tried if _serves(sites, plies)):
            found[stratum].append(served)
    return found


def _legal(puzzle: sets.Puzzle, move: str) -> bool:
    return chess.Move.from_uci(move) in chess.Board(puzzle.fen).legal_moves


def _serves(sites: LineSites, plies: Sequence[int]) -> bool:
    futures = [sites.future(ply) for ply in plies]
    return all(future is not None and bool(future.matched) for future in futures)


def profile(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Effects at the reader's layers, at the squares of later plies and their like."""
    params = glanced(params, inputs)
    taken = reader(params, inputs)
    return {
        "weights_sha": taken.weights_sha,
        "layers": list(taken.layers),
        "rows": {
            stratum: positions(taken, sites) for stratum, sites in chosen_sites(params).items()
        },
    }


def chosen_sites(params: Mapping[str, Json]) -> dict[str, list[tuple[LineSites, ...]]]:
    """The positions that a cell's parameters name."""
    told = (params[name] for name in ("strata", "counts", "matched", "seed", "plies"))
    words = params.get("words") or {}
    found = measured_sites(*told, paired="words" in params)
    if words.get("glance"):
        return {name: [each[:1] for each in sites] for name, sites in found.items()}
    return found


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
