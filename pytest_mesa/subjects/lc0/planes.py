"""Positions as lc0's nets see them: 112 planes, from the side of whoever moves.

Eight positions of 13 planes each, latest first: the mover's pawns, knights, bishops, rooks,
queens and king, the opponent's, and whether the position is a repetition. Then eight planes of
castling rights, side to move, 50-move clock and ones. History before a game's first move is
filled with its first position, except where that is the start of chess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.subjects.lc0.formats import InputFormat
from pytest_mesa.subjects.lc0.history import Position, is_start, positions, repeats
from pytest_mesa.subjects.lc0.rules import check_board
from pytest_mesa.subjects.lc0.symmetry import IDENTITY, Symmetry, canonical, flip_ranks

if TYPE_CHECKING:
    import chess
    from jaxtyping import Float

HISTORY = 8
A_POSITION = 13
EXTRA = HISTORY * A_POSITION
PLANES = EXTRA + 8
ALL = (1 << 64) - 1
_A_FILE = 0x0101010101010101
_H_FILE = _A_FILE << 7
_FIRST_RANK, _LAST_RANK = 0xFF, 0xFF << 56


def _seen(board: int, turn: bool) -> int:
    """An absolute bitboard as the side to move sees it."""
    return board if turn else flip_ranks(board)


def _sides(position: Position, turn: bool) -> list[int]:
    """The mover's six bitboards, then the opponent's, as the mover sees them."""
    white, black = position.pieces[:6], position.pieces[6:]
    both = (*white, *black) if turn else (*black, *white)
    return [_seen(board, turn) for board in both]


def symmetry_of(board: chess.Board, form: InputFormat) -> Symmetry:
    """How a net of this input format turns the board, as the side to move sees it."""
    if not form.canonical:
        return IDENTITY
    return _symmetry(positions(board, 1)[0])


def _symmetry(position: Position) -> Symmetry:
    sides = _sides(position, position.turn)
    kinds = [mine | theirs for mine, theirs in zip(sides[:6], sides[6:], strict=True)]
    pawns, knights, bishops, rooks, queens, kings = kinds
    mine, everything = sum(sides[:6]), sum(sides)
    breakers = (everything, mine, kings, queens, rooks, knights, bishops)
    return canonical(sides[5], pawns, position.castling, breakers)


def _extra(position: Position, form: InputFormat) -> tuple[list[int], list[float]]:
    """Masks and values of the planes behind the history."""
    turn = position.turn
    rights = _seen(position.castling, turn)
    queenside, kingside = rights & _A_FILE, rights & _H_FILE
    if form is InputFormat.CLASSICAL_112_PLANE:
        masks = [
            ALL if rights & file & rank else 0
            for rank in (_FIRST_RANK, _LAST_RANK)
            for file in (_A_FILE, _H_FILE)
        ]
    else:
        masks = [queenside, kingside, 0, 0]
    black = 0 if turn else ALL
    behind = position.en_passant
    # The taker's view: the pawn's file, at the far edge.
    passing = 0 if behind is None else 1 << (56 + behind % 8)
    masks += [passing if form.canonical else black, ALL, black if form.armageddon else 0, ALL]
    clock = position.clock / 100 if form.hectoplies else float(position.clock)
    return masks, [1.0] * 5 + [clock] + [1.0] * 2


def _undone(position: Position) -> Position:
    """The position before its double pawn step, for history that a FEN does not tell."""
    if position.en_passant is None:
        return position
    behind = position.en_passant
    pieces = list(position.pieces)
    forward, pawns = (-8, 6) if position.turn else (8, 0)  # of the side that made the step
    pieces[pawns] = pieces[pawns] & ~(1 << (behind + forward)) | 1 << (behind - forward)
    return Position(tuple(pieces), position.turn, position.castling, None, position.clock)


def _history(found: Sequence[Position], form: InputFormat) -> list[int]:
    """Masks of the history's planes, before any symmetry."""
    latest, turn = found[0], found[0].turn
    masks: list[int] = []
    filling: list[int] = []  # what stands for positions before those that are known
    step = 0
    while len(masks) < EXTRA:
        known = step < len(found)
        position = found[step] if known else found[-1]
        if not known and (is_start(position) or form.only_repeats):
            break
        if form.canonical and _ends_history(position, latest, step):
            break
        repeated = repeats(found, step) if known else False
        if repeated or step == 0 or not form.only_repeats:
            if not known:
                filling = filling or _sides(_undone(position), turn)
            masks += _sides(position, turn) if known else filling
            masks.append(ALL if repeated else 0)
        step += 1
        if form.canonical and position.clock == 0:
            break
    return masks + [0] * (EXTRA - len(masks))


def _ends_history(position: Position, latest: Position, step: int) -> bool:
    """Whether canonical history stops before this position, since nothing before can recur."""
    changed = position.castling != latest.castling
    return changed or (step > 0 and position.en_passant is not None)


def encode(
    boards: Sequence[chess.Board], form: InputFormat = InputFormat.CLASSICAL_112_PLANE
) -> Float[Tensor, "batch 112 8 8"]:
    """Planes (rank, file) of boards with the moves that led to them.

    Raises:
        SubjectError: a variant of chess, a board without two kings, or no python-chess.
    """
    masks = np.zeros((len(boards), PLANES), dtype="<u8")
    values = np.ones((len(boards), PLANES), dtype=np.float32)
    for row, board in enumerate(boards):
        check_board(board)
        found = positions(board, HISTORY)
        extra, scales = _extra(found[0], form)
        planes = _history(found, form) + extra
        if form.canonical:
            symmetry = _symmetry(found[0])
            planes[: EXTRA + 5] = [symmetry.bitboard(mask) for mask in planes[: EXTRA + 5]]
        masks[row] = planes
        values[row, EXTRA:] = scales
    bits = np.unpackbits(masks.view(np.uint8), axis=1, bitorder="little")
    spread = bits.reshape(len(boards), PLANES, 8, 8) * values[..., None, None]
    return torch.from_numpy(spread)
