"""Positions in pairs, on the book and off it: a matter of the rules and the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.tasks.games import extra, notation
from pytest_mesa.tasks.games.archive import frozen
from pytest_mesa.tasks.games.notation import Name

STREAM = 0x6F666662  # apart from other uses of the seed


@dataclass(frozen=True, slots=True)
class Told:
    """A game up to some ply, and the moves that are legal there."""

    moves: tuple[str, ...]
    legal: tuple[str, ...]

    @classmethod
    def of(cls, board: Any) -> Told:
        """From a board with its past."""
        past = tuple(move.uci() for move in board.move_stack)
        return cls(past, tuple(move.uci() for move in board.legal_moves))

    @classmethod
    def parsed(cls, line: Sequence[str]) -> Told:
        """The inverse of `line`."""
        moves, legal = (tuple(each.split()) for each in line)
        return cls(moves, legal)

    @property
    def line(self) -> list[str]:
        """As a cell keeps it."""
        return [" ".join(self.moves), " ".join(self.legal)]


@dataclass(frozen=True, slots=True)
class Pair:
    """A game up to some ply, and a match that no game reaches."""

    book: Told
    off: Told


def drawn(params: Mapping[str, Json], _inputs: tuple[Result, ...], _folder: Path) -> Any:
    """The cell of all pairs, departure by departure."""
    return {
        departure: [
            [pair.book.line, pair.off.line]
            for pair in islice(pairs(params, departure), params["count"])
        ]
        for departure in params["departures"]
    }


def read(payload: Mapping[str, Any], departure: str, count: int) -> list[Pair]:
    """The first so many pairs of a departure."""
    return [Pair(*map(Told.parsed, lines)) for lines in payload[departure][:count]]


def pairs(params: Mapping[str, Any], departure: str) -> Iterator[Pair]:
    """Unseen games in random order, each with its best match among the candidates drawn."""
    rng = np.random.default_rng([params["seed"], STREAM, params["departures"].index(departure)])
    _, unseen = frozen("chess").split()
    games = [[notation.text(Name.CHESS, code) for code in game.tolist()] for game in unseen]
    first, last = params["plies"]
    for place in rng.permutation(len(games)).tolist():
        ply = int(rng.integers(first, last + 1))
        if len(games[place]) <= ply:
            continue
        book = _played(games[place][:ply])
        wanted = book.legal_moves.count()
        found = []
        for _ in range(params["candidates"]):
            start = 0 if departure == "random" else max(0, ply - params["since"])
            board = _played(games[int(rng.integers(len(games)))][:start])
            if _astray(board, ply, rng) and (count := board.legal_moves.count()):
                found.append((abs(count - wanted), board))
        if found:
            _, off = min(found, key=lambda each: each[0])
            yield Pair(Told.of(book), Told.of(off))


def _played(moves: Sequence[str]) -> Any:
    """A board after moves of a recorded game, which are legal."""
    chess = extra.chess()
    board = chess.Board()
    for move in moves:
        board.push(chess.Move.from_uci(move))
    return board


def _astray(board: Any, plies: int, rng: np.random.Generator) -> bool:
    """Play random legal moves up to a ply; whether the game lasts so long."""
    while board.ply() < plies:
        legal = list(board.legal_moves)
        if not legal:
            return False
        board.push(legal[int(rng.integers(len(legal)))])
    return True
