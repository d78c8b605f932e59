"""The positions and squares that look-ahead is read from, chosen once for a whole line-up.

Which ones serve is a matter of the boards alone, so every player is read at the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import chess
import numpy as np

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.line_squares import PLIES, Future, LineSites, line_sites

STREAM = 0x6C6F6F6B  # apart from other uses of the seed

Sites = dict[str, list[tuple[LineSites, ...]]]


def measured_sites(
    strata: Mapping[str, Sequence[str]],
    counts: Mapping[str, int],
    matched: int,
    seed: int,
    plies: Sequence[int] = PLIES,
    *,
    paired: bool = False,
) -> Sites:
    """Positions by stratum, in the registered order, as many of each as asked for and there.

    Those serve in which each of these plies ends on a square of its own that has a matched one.
    A position comes with all corruptions that leave one; where ``paired``, only with those whose
    own best move is legal in the position too, so that the choice can be held to it.
    """
    puzzles = sets.puzzles()
    order = np.random.default_rng([seed, STREAM]).permutation(len(puzzles)).tolist()
    of = {name: stratum for stratum, names in strata.items() for name in names}
    found: Sites = {stratum: [] for stratum in strata}
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


def choose(params: Mapping[str, Json], _inputs: tuple[Result, ...], _folder: Path) -> Any:
    """The positions of a line-up, as many as any of its players is asked for."""
    told = (params[name] for name in ("strata", "counts", "matched", "seed", "plies"))
    found = measured_sites(*told, paired=params["paired"])
    return {
        "sites": {name: [list(map(_told, each)) for each in part] for name, part in found.items()}
    }


def chosen_sites(params: Mapping[str, Json], chosen: Result) -> Sites:
    """Those of them that a cell's parameters ask for, from what `choose` returned."""
    counts, words = params["counts"], params.get("words") or {}
    corruptions = 1 if words.get("glance") else None
    puzzles = {puzzle.fen: puzzle for puzzle in sets.puzzles()}
    return {
        name: [
            tuple(_read(puzzles, told, params["matched"]) for told in together[:corruptions])
            for together in part[: counts[name]]
        ]
        for name, part in chosen.payload["sites"].items()
    }


def _told(sites: LineSites) -> dict[str, Any]:
    return {
        "fen": sites.puzzle.fen,
        "corruption": sites.puzzle.corruptions.index(sites.corruption),
        "futures": [[each.ply, each.square, list(each.matched)] for each in sites.futures],
    }


def _read(puzzles: Mapping[str, sets.Puzzle], told: Mapping[str, Any], matched: int) -> LineSites:
    puzzle = puzzles[told["fen"]]
    return LineSites(
        puzzle,
        puzzle.corruptions[told["corruption"]],
        tuple(Future(ply, at, tuple(like[:matched])) for ply, at, like in told["futures"]),
    )
