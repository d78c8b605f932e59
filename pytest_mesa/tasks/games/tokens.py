"""Games as token sequences: a tag that names the game, then its moves.

A chess move is its from-square and its to-square (and the piece it promotes to, where it
does); both use the same 64 tokens, so that a square is one thing to the net. A Go move is a
point or the pass. Tic-tac-toe and the fifteen game have nine tokens each, none shared: one
game tree under two notations.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.tasks.games.archive import Archive
from pytest_mesa.tasks.games.fifteen import NUMBER_OF
from pytest_mesa.tasks.games.notation import Name, text

if TYPE_CHECKING:
    from jaxtyping import Int

PAD = 0


class Tag(IntEnum):
    """The first token of each game."""

    CHESS = 1
    GO = 2
    TIC_TAC_TOE = 3
    FIFTEEN = 4


SQUARE = 5
PROMOTION = SQUARE + 64  # knight, bishop, rook, queen
POINT = PROMOTION + 4
CELL = POINT + 82
NUMBER = CELL + 9
VOCABULARY = NUMBER + 9

FIRST = {Tag.GO: POINT, Tag.TIC_TAC_TOE: CELL}


def encode(tag: Tag, archive: Archive, plies: int) -> Int[np.ndarray, "game pos"]:
    """Token ids of each game's first ``plies`` moves, padded to the longest.

    ``archive`` holds chess, Go or tic-tac-toe games; the fifteen game's are tic-tac-toe's,
    relabelled through the magic square.
    """
    kept = _ply(archive) < plies
    moves = archive.moves[kept].astype(np.int64)
    game = np.repeat(np.arange(len(archive)), archive.lengths)[kept]
    if tag is Tag.CHESS:
        parts = np.stack([SQUARE + moves % 64, SQUARE + moves // 64 % 64, PAD * moves], axis=1)
        promoted = moves // 4096
        parts[:, 2] = np.where(promoted > 0, PROMOTION + promoted - 1, PAD)
        present = np.ones_like(parts, dtype=bool)
        present[:, 2] = promoted > 0
        flat, game = parts[present], np.repeat(game, present.sum(1))
    elif tag is Tag.FIFTEEN:
        flat = NUMBER - 1 + NUMBER_OF[moves]
    else:
        flat = FIRST[tag] + moves
    return _padded(tag, flat, np.bincount(game, minlength=len(archive)))


def move_starts(tag: Tag, archive: Archive, plies: int) -> Int[np.ndarray, "game ply"]:
    """Where each move's first token stands in `encode`'s rows; 0 where a game has ended."""
    starts = np.zeros((len(archive), plies), dtype=np.int64)
    for row, game in zip(starts, archive, strict=True):
        kept = game[:plies].astype(np.int64)
        widths = 2 + (kept // 4096 > 0) if tag is Tag.CHESS else np.ones_like(kept)
        row[: len(kept)] = 1 + np.cumsum(widths) - widths
    return starts


def decode(tag: Tag, said: Sequence[int]) -> str | None:
    """The move that tokens say, in the rules' text; None where they say none.

    Chess takes three tokens: the third counts where it is a promotion and a pawn may promote
    there, as squares alone can tell; whether there is a pawn is the rules' business.
    """
    if tag is not Tag.CHESS:
        low, count = {Tag.GO: (POINT, 82), Tag.TIC_TAC_TOE: (CELL, 9), Tag.FIFTEEN: (NUMBER, 9)}[
            tag
        ]
        if not low <= said[0] < low + count:
            return None
        if tag is Tag.FIFTEEN:
            return str(said[0] - NUMBER + 1)
        return text(Name[tag.name], said[0] - low)
    squares = [token - SQUARE for token in said[:2]]
    if not all(0 <= square < 64 for square in squares):
        return None
    promotion = said[2] - PROMOTION + 1 if PROMOTION <= said[2] < PROMOTION + 4 else 0
    ranks = tuple(square // 8 for square in squares)
    if ranks not in ((6, 7), (1, 0)):
        promotion = 0
    return text(Name.CHESS, squares[0] + 64 * squares[1] + 4096 * promotion)


def _ply(archive: Archive) -> Int[np.ndarray, " moves"]:
    """Each move's place in its game, from 0."""
    starts = np.cumsum(archive.lengths, dtype=np.int64) - archive.lengths
    return np.asarray(np.arange(len(archive.moves)) - np.repeat(starts, archive.lengths))


def _padded(
    tag: Tag, flat: Int[np.ndarray, " token"], lengths: Int[np.ndarray, " game"]
) -> Int[np.ndarray, "game pos"]:
    ids = np.full((len(lengths), 1 + int(lengths.max(initial=0))), PAD, dtype=np.int64)
    ids[:, 0] = tag
    inside = np.arange(ids.shape[1] - 1) < lengths[:, None]
    ids[:, 1:][inside] = flat
    return ids
