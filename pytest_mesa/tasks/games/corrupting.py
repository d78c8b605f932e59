"""Corruptions: one piece changed, so that a line's first move is still legal but not best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_mesa.tasks.games import extra
from pytest_mesa.tasks.games.engines import Line, Stockfish
from pytest_mesa.tasks.games.sets import Corruption

KEPT = 2  # a weaker net may find one implausible
TRIES = 32
NODES = 2_000
LOSS = 150  # centipawns behind the best move there, and behind its own score before


@dataclass(frozen=True, slots=True)
class _Change:
    board: Any
    squares: tuple[int, ...]


def corruptions(
    engine: Stockfish, board: Any, best: Line, rng: np.random.Generator
) -> tuple[Corruption, ...]:
    """Up to `KEPT` different corruptions that the engine confirms, in the order drawn.

    No square of the line changes and no king moves, and the line's first move is worth less
    than it was, not merely outdone: what differs is why the move works.
    """
    chess = extra.chess()
    first = chess.Move.from_uci(best.moves[0])
    spared = {square for move in best.moves for square in _squares(move)}
    kept: dict[str, Corruption] = {}
    for number, change in enumerate(_changes(board, spared, rng)):
        if number == TRIES or len(kept) == KEPT:
            break
        if not change.board.is_valid() or first not in change.board.legal_moves:
            continue
        fen = str(change.board.fen())
        own = _best(engine, fen, (best.moves[0],)).score
        if best.score - own < LOSS or fen in kept:
            continue
        better = _best(engine, fen)
        loss = better.score - own
        if loss >= LOSS and better.moves[0] != best.moves[0]:
            names = tuple(chess.square_name(square) for square in change.squares)
            kept[fen] = Corruption(fen, names, better.moves[0], loss)
    return tuple(kept.values())


def _squares(move: str) -> tuple[int, int]:
    parse = extra.chess().parse_square
    return parse(move[:2]), parse(move[2:4])


def _changes(board: Any, spared: set[int], rng: np.random.Generator) -> Iterator[_Change]:
    """One piece moved to a free square, taken away, or added as a pawn; in random order."""
    chess = extra.chess()
    squares = [square for square in chess.SQUARES if square not in spared]
    pieces = [s for s in squares if board.piece_at(s) and board.piece_type_at(s) != chess.KING]
    free = [s for s in squares if not board.piece_at(s)]
    while pieces and free:
        source, target = int(rng.choice(pieces)), int(rng.choice(free))
        changed = board.copy(stack=False)
        kind = int(rng.integers(3))
        if kind == 2:
            changed.set_piece_at(target, chess.Piece(chess.PAWN, bool(rng.integers(2))))
            touched: tuple[int, ...] = (target,)
        else:
            piece = changed.remove_piece_at(source)
            touched = (source,)
            if kind == 0:
                changed.set_piece_at(target, piece)
                touched = (source, target)
        # A changed rook takes its castling right with it; an en-passant square may go stale.
        changed.castling_rights = changed.clean_castling_rights()
        changed.ep_square = changed.ep_square if changed.has_legal_en_passant() else None
        yield _Change(changed, touched)


def _best(engine: Stockfish, fen: str, among: tuple[str, ...] = ()) -> Line:
    """The best line of a position, or the best that starts with one of some moves."""
    engine.new_game()
    (best,) = engine.lines(f"fen {fen}", f"nodes {NODES}", 1, among)
    return best
