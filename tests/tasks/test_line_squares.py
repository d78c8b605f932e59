"""Matched squares are like the future square in what can be seen without looking ahead."""

from __future__ import annotations

from itertools import islice

import chess
import pytest

from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.line_squares import (
    FROM_CHANGE,
    FROM_KING,
    FROM_MOVE,
    LineSites,
    coincides,
    line_sites,
)

MOST = 5


@pytest.fixture(scope="module")
def found() -> list[LineSites]:
    deep = (puzzle for puzzle in sets.puzzles() if len(puzzle.line) >= 3)
    return [line_sites(p, c, MOST) for p in islice(deep, 80) for c in p.corruptions]


def distances(sites: LineSites, square: int) -> tuple[int, int, int]:
    board = chess.Board(sites.puzzle.fen)
    first = chess.Move.from_uci(sites.puzzle.line[0])
    changed = [chess.parse_square(name) for name in sites.corruption.changed]
    king = board.king(not board.turn)
    assert king is not None
    return (
        min(chess.square_distance(square, s) for s in (first.from_square, first.to_square)),
        min(chess.square_distance(square, s) for s in changed),
        chess.square_distance(square, king),
    )


def plain(sites: LineSites, square: int) -> tuple[object, ...]:
    """Occupant's side, who attacks, and whether that changes: by counting, not by bitboards."""
    boards = chess.Board(sites.puzzle.fen), chess.Board(sites.corruption.fen)
    attackers = [
        [sorted(board.attackers(side, square)) for side in chess.COLORS] for board in boards
    ]
    return (
        boards[0].color_at(square),
        [bool(each) for each in attackers[0]],
        attackers[0] != attackers[1],
    )


def test_there_are_enough_to_measure(found: list[LineSites]) -> None:
    third = [future for sites in found if (future := sites.future(3)) and future.matched]
    assert len(third) >= len(found) // 3
    assert any(len(future.matched) == MOST for future in third)


def test_matched_squares_share_what_is_plain_to_see(found: list[LineSites]) -> None:
    for sites in found:
        for future in sites.futures:
            own = distances(sites, future.square)
            for square in future.matched:
                assert plain(sites, square) == plain(sites, future.square)
                apart = [abs(a - b) for a, b in zip(own, distances(sites, square), strict=True)]
                assert apart[0] <= FROM_MOVE
                assert apart[1] <= FROM_CHANGE
                assert apart[2] <= FROM_KING


def test_matched_squares_are_no_squares_of_the_line_nor_of_the_change(
    found: list[LineSites],
) -> None:
    for sites in found:
        board = chess.Board(sites.puzzle.fen)
        moves = [chess.Move.from_uci(move) for move in sites.puzzle.line]
        taken = {s for move in moves for s in (move.from_square, move.to_square)}
        taken |= {chess.parse_square(name) for name in sites.corruption.changed}
        taken |= {s for side in chess.COLORS if (s := board.king(side)) is not None}
        for future in sites.futures:
            assert not taken & set(future.matched)
            assert len(set(future.matched)) == len(future.matched) <= MOST


def test_a_future_is_the_target_of_its_ply_and_no_square_of_the_first_move(
    found: list[LineSites],
) -> None:
    left_out = 0
    for sites in found:
        line = [chess.Move.from_uci(move) for move in sites.puzzle.line]
        for ply in (3, 5):
            future = sites.future(ply)
            if len(line) < ply:
                assert future is None
            elif coincides(sites.puzzle, ply):
                assert line[ply - 1].to_square in (line[0].from_square, line[0].to_square)
                assert future is None
                left_out += 1
            elif future is not None:
                assert future.square == line[ply - 1].to_square
    assert left_out
