"""Chess positions mined with Stockfish from the frozen games: what ``mesa fixtures positions``
runs.

Every search starts from a cleared hash table and has a fixed number of nodes or a fixed depth,
so that the same games, seed and engine give the same positions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_mesa.tasks.games import extra, notation
from pytest_mesa.tasks.games.archive import frozen
from pytest_mesa.tasks.games.corrupting import corruptions
from pytest_mesa.tasks.games.engines import MATE, Line, Stockfish
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.playing import ChessPlay
from pytest_mesa.tasks.games.sets import Judged, Puzzle

PAST = 7  # plies of history: with the position itself, the eight that lc0's nets read
WINNING = 500  # centipawns: mates that a very shallow search misses show as this much
FIRST_PLY = 10  # before this, positions repeat from game to game


Games = Iterator[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class PuzzleMine:
    """What counts as one clearly best line, where it is looked for, and how many are wanted.

    The search that played the games points out candidates, a cheap search with two lines
    sorts them, a deep one confirms them and the gaps of the line's first three plies.

    ``gap``: centipawns between the best move and the next. ``own_gap``: the same for one's
    second move, so that the line is clear as far as look-ahead experiments read it. ``least``:
    the line must not merely lose less. A mate must be the only mating move.
    """

    wanted: Mapping[str, int]
    seed: int
    play: ChessPlay
    gap: int = 200
    own_gap: int = 80
    least: int = -50
    most_of_a_game: int = 8
    scan_nodes: int = 1_500
    nodes: int = 10_000
    moves: int = 6  # fewer legal moves than this leave little to choose

    def mine(self, engine: Stockfish) -> Iterator[Puzzle]:
        """Positions until every kind is full or the games are."""
        rng = np.random.default_rng(self.seed)
        found: Counter[str] = Counter()
        seen: set[str] = set()
        for game in self.play.searched():
            if all(found[kind] >= count for kind, count in self.wanted.items()):
                return
            kept = 0
            moves = tuple(ply.move for ply in game)
            hinted = [number for number, ply in enumerate(game) if self._hint(ply.lines)]
            for place in _places(moves, hinted, rng):
                if kept == self.most_of_a_game:
                    break
                puzzle = None if place.key in seen else self._puzzle(engine, place, found, rng)
                if puzzle:
                    seen.add(place.key)
                    found[puzzle.stratum] += 1
                    kept += 1
                    yield puzzle

    def _puzzle(
        self, engine: Stockfish, place: _Place, found: Counter[str], rng: np.random.Generator
    ) -> Puzzle | None:
        if place.board.legal_moves.count() < self.moves:
            return None
        scanned = self._clear(_lines(engine, place.fen, self.scan_nodes, 2))
        if scanned is None or not self._room(scanned, found):
            return None
        if not self._clear_on(engine, place, scanned):
            return None
        lines = _lines(engine, place.fen, self.nodes, 2)
        best = self._clear(lines)
        if best is None or not self._room(best, found):
            return None
        mate = _mate(best)
        enough = len(best.moves) >= (3 if mate is None else 2 * mate - 1)
        if not enough or best.moves[0] != scanned.moves[0]:
            return None
        line = best.moves[: 8 if mate is None else 2 * mate - 1]
        gaps = [_gap(lines)]
        for ply in range(1, min(3, len(line))):
            after = place.after(line[:ply])
            gaps.append(_gap(_lines(engine, after, self.nodes // 2, 2)))
        if mate is None and gaps[2] < self.own_gap:
            return None
        made = corruptions(engine, place.board, Line(best.score, line), rng)
        if not made:
            return None
        return Puzzle(
            place.fen, place.before, place.history, line, best.score, tuple(gaps), mate, made
        )

    def _clear(self, lines: tuple[Line, ...]) -> Line | None:
        """The best line, where it is one by a clear margin."""
        if len(lines) < 2:
            return None
        best, second = lines
        mate = _mate(best)
        if mate is not None:
            return best if mate <= 4 and second.score < MATE // 2 else None
        clear = best.score - second.score >= self.gap and best.score >= self.least
        return best if clear and best.score < MATE // 2 else None

    def _hint(self, lines: tuple[Line, ...]) -> bool:
        """Whether a very shallow search leaves room for what is wanted."""
        if len(lines) < 2:
            return False
        best, second = lines[0].score, lines[1].score
        if "other" not in self.wanted:
            return best >= WINNING and second < MATE // 2
        return best - second >= self.gap // 2 and self.least <= best < MATE // 2

    def _clear_on(self, engine: Stockfish, place: _Place, line: Line) -> bool:
        """Whether a cheap search finds one's second move clear as well; mates need no more."""
        if _mate(line) is not None:
            return True
        if len(line.moves) < 3:
            return False
        after = place.after(line.moves[:2])
        return _gap(_lines(engine, after, self.scan_nodes, 2)) >= self.own_gap

    def _room(self, line: Line, found: Counter[str]) -> bool:
        mate = _mate(line)
        kind = "other" if mate is None else f"mate-{mate}"
        return found[kind] < self.wanted.get(kind, 0)


@dataclass(frozen=True, slots=True)
class UnfilteredMine:
    """Positions drawn from the games at random, with a score for every legal move."""

    seed: int = 5
    positions: int = 3_200
    depth: int = 7

    def mine(self, engine: Stockfish) -> Iterator[Judged]:
        """One position a game, at a ply drawn uniformly, no position twice."""
        rng = np.random.default_rng(self.seed)
        seen: set[str] = set()
        for moves in _frozen_games(rng):
            if len(seen) == self.positions:
                return
            place = next(_places(moves, range(len(moves)), rng), None)
            if place is None or place.key in seen:
                continue
            seen.add(place.key)
            engine.new_game()
            lines = engine.lines(
                f"fen {place.fen}", f"depth {self.depth}", place.board.legal_moves.count()
            )
            scores = {line.moves[0]: line.score for line in lines}
            yield Judged(place.fen, place.before, place.history, scores)


@dataclass(frozen=True, slots=True)
class _Place:
    board: Any
    before: str
    history: tuple[str, ...]

    @property
    def fen(self) -> str:
        return str(self.board.fen())

    @property
    def key(self) -> str:
        """The position without its clocks."""
        return " ".join(self.fen.split()[:4])

    def after(self, moves: tuple[str, ...]) -> str:
        """The FEN some moves on."""
        board = self.board.copy(stack=False)
        for move in moves:
            board.push_uci(move)
        return str(board.fen())


def _frozen_games(rng: np.random.Generator) -> Games:
    """The frozen games in random order."""
    games = list(frozen(Name.CHESS))
    for number in rng.permutation(len(games)):
        yield tuple(notation.text(Name.CHESS, code) for code in games[number].tolist())


def _places(
    moves: tuple[str, ...], plies: Iterable[int], rng: np.random.Generator
) -> Iterator[_Place]:
    """A game's positions before some of its moves, from `FIRST_PLY` on, in random order."""
    board = extra.chess().Board()
    boards = [board.copy(stack=False)]
    for move in moves:
        board.push_uci(move)
        boards.append(board.copy(stack=False))
    late = np.array([ply for ply in plies if ply >= FIRST_PLY], dtype=np.int64)
    for ply in rng.permutation(late).tolist():
        past = max(0, ply - PAST)
        yield _Place(boards[ply], str(boards[past].fen()), moves[past:ply])


# The frozen games are sound and cut short, so lines that punish a mistake and mates are rare in
# them: these are looked for in weaker, longer games, other ones for each.
WEAK = ChessPlay(seed=4, games=9_000, plies=160, nodes=150, lines=4, temperature=80.0)
PUZZLES = (
    PuzzleMine({"mate-1": 250, "mate-2": 302, "mate-3": 190, "mate-4": 81}, 2, WEAK),
    *(
        PuzzleMine({"other": count}, seed, replace(WEAK, seed=seed + 2))
        for seed, count in ((3, 627), (4, 800), (5, 800))
    ),
)
UNFILTERED = UnfilteredMine()


def _lines(engine: Stockfish, fen: str, nodes: int, count: int) -> tuple[Line, ...]:
    engine.new_game()
    return engine.lines(f"fen {fen}", f"nodes {nodes}", count)


def _mate(line: Line) -> int | None:
    return MATE - line.score if line.score > MATE // 2 else None


def _gap(lines: tuple[Line, ...]) -> int:
    """Best less second best; `MATE` where there is no second move."""
    if len(lines) < 2:
        return MATE
    return min(lines[0].score - lines[1].score, MATE)
