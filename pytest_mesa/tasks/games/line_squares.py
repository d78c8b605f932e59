"""Squares of a line's later moves, and squares that are like them in all that is plain to see.

A square of a future move may matter to a net for reasons that take no look-ahead: something
stands there, something attacks it, it is near the move that is played or near what changed. So
it is held against squares of the same position that share those reasons. Source of the idea:
Jenner et al. 2024, section 3; the matching is stricter here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytest_mesa.tasks.games import extra
from pytest_mesa.tasks.games.sets import Corruption, Puzzle

# King's steps by which matched squares may differ in distance. The least from the first move: how
# much a square matters falls off from there more steeply than from anything else.
FROM_MOVE, FROM_CHANGE, FROM_KING = 1, 2, 2
PLIES = (3, 5)  # the mover's own later moves


@dataclass(frozen=True, slots=True)
class Future:
    """The target of one later ply, and its matched squares, nearest match first (0 = a1 … 63)."""

    ply: int
    square: int
    matched: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LineSites:
    """One puzzle with one of its corruptions, and the squares to look at.

    ``futures`` holds only plies whose target is no square of the first move and that no other
    future shares: where they coincide, an effect at the square could be the first move's own.
    """

    puzzle: Puzzle
    corruption: Corruption
    futures: tuple[Future, ...]

    def future(self, ply: int) -> Future | None:
        """The future of that ply, where it is one of its own."""
        return next((future for future in self.futures if future.ply == ply), None)


def coincides(puzzle: Puzzle, ply: int) -> bool:
    """Whether the target of a later ply is a square of the first move."""
    return len(puzzle.line) >= ply and _ends(puzzle.line[ply - 1])[1] in _ends(puzzle.line[0])


def line_sites(
    puzzle: Puzzle, corruption: Corruption, most: int, plies: Sequence[int] = PLIES
) -> LineSites:
    """The futures of a puzzle under one corruption, with up to ``most`` matched squares each.

    Raises:
        ExtraError: python-chess is missing.
    """
    chess = extra.chess()
    clean, changed = chess.Board(puzzle.fen), chess.Board(corruption.fen)
    first = _ends(puzzle.line[0])
    touched = tuple(chess.parse_square(name) for name in corruption.changed)
    traits = _traits(clean, changed, first, touched)
    line = {square for move in puzzle.line for square in _ends(move)}
    taken = line | set(touched) | {clean.king(chess.WHITE), clean.king(chess.BLACK)}
    free = [square for square in chess.SQUARES if square not in taken]
    futures: list[Future] = []
    for ply in plies:
        if len(puzzle.line) < ply or coincides(puzzle, ply):
            continue
        target = _ends(puzzle.line[ply - 1])[1]
        if any(target == future.square for future in futures):
            continue
        found = sorted(
            (square for square in free if traits[target].like(traits[square])),
            key=lambda square: (traits[target].apart(traits[square]), square),
        )
        futures.append(Future(ply, target, tuple(found[:most])))
    return LineSites(puzzle, corruption, tuple(futures))


@dataclass(frozen=True, slots=True)
class _Traits:
    """What is plain to see of a square without looking ahead.

    ``holds``: nothing, a piece of the mover's, one of the other side's. ``attacked``: by the
    mover, by the other side. ``attack_changed``: whether the corruption changes who attacks it.
    Distances are in king's steps.
    """

    holds: bool | None
    attacked: tuple[bool, bool]
    attack_changed: bool
    from_move: int
    from_change: int
    from_king: int

    def like(self, other: _Traits) -> bool:
        return (
            self.holds is other.holds
            and self.attacked == other.attacked
            and self.attack_changed == other.attack_changed
            and abs(self.from_move - other.from_move) <= FROM_MOVE
            and abs(self.from_change - other.from_change) <= FROM_CHANGE
            and abs(self.from_king - other.from_king) <= FROM_KING
        )

    def apart(self, other: _Traits) -> int:
        return (
            abs(self.from_move - other.from_move)
            + abs(self.from_change - other.from_change)
            + abs(self.from_king - other.from_king)
        )


def distances(puzzle: Puzzle, corruption: Corruption, square: int) -> tuple[int, int, int]:
    """King's steps from the first move, from what the corruption changes, from the enemy king."""
    chess = extra.chess()
    board = chess.Board(puzzle.fen)
    touched = tuple(chess.parse_square(name) for name in corruption.changed)
    return _distances(board, _ends(puzzle.line[0]), touched, square)


def _distances(
    board: Any, first: tuple[int, int], touched: tuple[int, ...], square: int
) -> tuple[int, int, int]:
    steps = _steps()[square]
    return (
        min(steps[end] for end in first),
        min(steps[end] for end in touched),
        steps[board.king(not board.turn)],
    )


@cache
def _steps() -> tuple[tuple[int, ...], ...]:
    """King's steps between all squares."""
    distance = extra.chess().square_distance
    return tuple(tuple(distance(one, other) for other in range(64)) for one in range(64))


def _traits(
    clean: Any, changed: Any, first: tuple[int, int], touched: tuple[int, ...]
) -> list[_Traits]:
    """Those of all squares."""
    mover = clean.turn
    sides = (mover, not mover)
    before = [_attackers(clean, side) for side in sides]
    after = [_attackers(changed, side) for side in sides]
    found = []
    for square in range(64):
        colour = clean.color_at(square)
        from_move, from_change, from_king = _distances(clean, first, touched, square)
        found.append(
            _Traits(
                holds=None if colour is None else colour == mover,
                attacked=(bool(before[0][square]), bool(before[1][square])),
                attack_changed=any(
                    b[square] != a[square] for b, a in zip(before, after, strict=True)
                ),
                from_move=from_move,
                from_change=from_change,
                from_king=from_king,
            )
        )
    return found


def _attackers(board: Any, side: bool) -> list[int]:
    """For every square, which squares' pieces of a side attack it, as bits."""
    found = [0] * 64
    pieces = board.occupied_co[side]
    while pieces:
        bit = pieces & -pieces
        targets = board.attacks_mask(bit.bit_length() - 1)
        while targets:
            target = targets & -targets
            found[target.bit_length() - 1] |= bit
            targets ^= target
        pieces ^= bit
    return found


def _ends(move: str) -> tuple[int, int]:
    parse = extra.chess().parse_square
    return parse(move[:2]), parse(move[2:4])
