"""The symmetries of the boards, on moves, tokens and positions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.tasks.games import tokens

if TYPE_CHECKING:
    from jaxtyping import Int

TURNS = 8  # four rotations, and each mirrored


@lru_cache(maxsize=4)
def board_maps(size: int) -> Int[np.ndarray, "turn cell"]:
    """Where each cell of a square board goes under each of its symmetries, the identity first."""
    board = np.arange(size * size).reshape(size, size)
    turned = [np.rot90(side, turns) for side in (board, board.T) for turns in range(4)]
    return np.stack([turn.ravel() for turn in turned])


def turned_points(
    ids: Int[np.ndarray, "game pos"], turns: Int[np.ndarray, " game"]
) -> Int[np.ndarray, "game pos"]:
    """Go games in tokens, each under one symmetry of the board; every other token stays."""
    table = np.tile(np.arange(tokens.VOCABULARY), (TURNS, 1))
    table[:, tokens.POINT : tokens.POINT + 81] = tokens.POINT + board_maps(9)
    return np.asarray(table[turns[:, None], ids])
