"""Positions of chess and Go for nets that continue games: what stands where, and what is legal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.experiments.narrowing_options import STREAM
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.games_legality import walk
from pytest_mesa.tasks.games import notation, tokens
from pytest_mesa.tasks.games.archive import Archive, frozen
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.tokens import Tag

FIRST_PLY = 4  # before it nearly the same few moves are played in all games


def positions(params: Mapping[str, Json], _inputs: tuple[Result, ...], _folder: Path) -> Any:
    """For each game, positions to fit on, of games trained on, and unseen ones to measure."""
    found = {}
    for game, plies in params["plies"].items():
        seen, unseen = frozen(game).split()
        rng = np.random.default_rng([params["seed"], STREAM, int(Tag[game.upper()])])
        found[game] = {
            "fit": _drawn(game, seen, params["fit"], plies, params["batch"], rng),
            "measure": _drawn(game, unseen, params["measure"], plies, params["batch"], rng),
        }
    return found


def _drawn(
    game: str, archive: Archive, count: int, plies: int, moves: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Up to ``count`` games in random order, ``moves`` random positions of each."""
    tag = Tag[game.upper()]
    order = rng.permutation(np.flatnonzero(archive.lengths > FIRST_PLY + moves))[:count]
    chosen = archive.select(order)
    starts = tokens.move_starts(tag, chosen, plies)
    wanted = [
        np.sort(rng.choice(np.arange(FIRST_PLY, length), size=moves, replace=False)).tolist()
        for length in np.minimum(chosen.lengths, plies).tolist()
    ]
    legal: list[list[list[str]]] = [[] for _ in wanted]
    for each in walk(Name(game), chosen, plies):
        if each.ply in wanted[each.game]:
            legal[each.game].append(list(each.state.legal))
    return {
        "games": order.tolist(),
        "plies": wanted,
        "ids": tokens.encode(tag, chosen, plies).tolist(),
        "places": [[int(starts[g, ply]) - 1 for ply in each] for g, each in enumerate(wanted)],
        "legal": legal,
    }


def moves_before(game: str, part: str, told: Mapping[str, Any], number: int) -> list[list[str]]:
    """The moves up to each drawn position of one game; ``part`` is ``fit`` or ``measure``."""
    seen, unseen = frozen(game).split()
    archive = seen if part == "fit" else unseen
    (moves,) = archive.select(np.array([told["games"][number]]))
    texts = [notation.text(Name(game), int(move)) for move in moves]
    return [texts[:ply] for ply in told["plies"][number]]
