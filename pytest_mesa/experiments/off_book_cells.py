"""The work of the kind ``off-book``: positions in pairs, and who plays legally in them.

Which positions serve is a matter of the rules and the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.experiments.games_competence import is_able
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject
from pytest_mesa.subjects.games_legality import greedy_moves
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.move_players import Book, Rules
from pytest_mesa.tasks.games import extra, notation
from pytest_mesa.tasks.games.archive import frozen, pack
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.prompts import TEMPLATES, Outcome
from pytest_mesa.tasks.games.tokens import Tag

STREAM = 0x6F666662  # apart from other uses of the seed
WRITTEN = 8  # tokens of a text model's continuation that are read for a move
TEMPLATES_KEPT = 2
GLANCE = 40  # pairs for a subject that is not able: enough to describe it

Says = Callable[[Sequence[tuple[str, ...]]], list[str]]  # per game: an `Outcome`


@dataclass(frozen=True, slots=True)
class Pair:
    """A game up to some ply, and a match that no game reaches: moves, and legal ones of each."""

    book: tuple[str, ...]
    off: tuple[str, ...]
    legal: tuple[int, int]


def pairs(params: Mapping[str, Any], departure: str) -> Iterator[Pair]:
    """Unseen games in random order, each with its best match among the candidates drawn."""
    rng = np.random.default_rng([params["seed"], STREAM, params["departures"].index(departure)])
    _, unseen = frozen("chess").split()
    games = [[notation.text(Name.CHESS, code) for code in game.tolist()] for game in unseen]
    first, last = params["plies"]
    for place in rng.permutation(len(games)).tolist():
        ply = int(rng.integers(first, last + 1))
        book = tuple(games[place][:ply])
        if len(games[place]) <= ply:
            continue
        wanted = _legal(book)
        drawn = []
        for _ in range(params["candidates"]):
            start = 0 if departure == "random" else max(0, ply - params["since"])
            other = games[int(rng.integers(len(games)))][:start]
            moves = _astray(other, ply, rng)
            if moves is not None and (count := _legal(moves)):
                drawn.append((abs(count - wanted), moves, count))
        if drawn:
            _, off, count = min(drawn, key=lambda each: each[0])
            yield Pair(book, off, (wanted, count))


def _astray(start: Sequence[str], plies: int, rng: np.random.Generator) -> tuple[str, ...] | None:
    """Some moves, then random legal ones; None where the game ends before."""
    board = extra.chess().Board()
    for move in start:
        board.push_uci(move)
    while board.ply() < plies:
        legal = list(board.legal_moves)
        if not legal:
            return None
        board.push(legal[int(rng.integers(len(legal)))])
    return tuple(move.uci() for move in board.move_stack)


def _legal(moves: Sequence[str]) -> int:
    board = extra.chess().Board()
    for move in moves:
        board.push_uci(move)
    return int(board.legal_moves.count())


def moves(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Who plays legally, pair by pair, under each departure."""
    subject: Any = load(params["subject"], inputs[: params["own"]], precision="fast")
    able = inputs[params["own"] :]
    count = params["count"] if all(is_able(params, each) for each in able) else GLANCE
    says = speaker(subject, able)
    found: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for departure in params["departures"]:
        drawn = [pair for pair, _ in zip(pairs(params, departure), range(count), strict=False)]
        sides = {"book": [each.book for each in drawn], "off": [each.off for each in drawn]}
        outcomes = {side: says(games) for side, games in sides.items()}
        found[departure] = {
            side: [float(each == Outcome.LEGAL) for each in each_side]
            for side, each_side in outcomes.items()
        }
        legal = np.array([each.legal for each in drawn], dtype=float).reshape(-1, 2)
        told[departure] = {
            "pairs": len(drawn),
            "legal moves there": [round(float(mean), 2) for mean in legal.mean(0)],
            **{
                side: {str(outcome): each_side.count(outcome) for outcome in Outcome}
                for side, each_side in outcomes.items()
            },
        }
    return {
        "weights_sha": getattr(subject, "weights_sha", ""),
        "detail": {"pairs": found, "off_book": told},
    }


def speaker(subject: Any, able: Sequence[Result]) -> Says:
    """How a subject is asked for its next moves.

    Raises:
        SubjectError: one that continues no games.
    """
    if isinstance(subject, Rules | Book):
        return lambda games: [
            _judged(game, move)
            for game, move in zip(games, subject.next_moves(Name.CHESS, games), strict=True)
        ]
    if isinstance(subject, GamesSubject):
        return lambda games: [
            _judged(game, move)
            for game, move in zip(games, next_moves(subject, games), strict=True)
        ]
    if isinstance(subject, LanguageModel):
        (ranked,) = able[0].payload["kept"]
        return lambda games: _written(subject, ranked[:TEMPLATES_KEPT], games)
    raise SubjectError(
        f"{subject.label} is a {type(subject).__name__}, which continues no games of chess"
    )


def _judged(game: Sequence[str], move: str | None) -> str:
    if move is None:
        return Outcome.NO_MOVE
    board = extra.chess().Board()
    for each in game:
        board.push_uci(each)
    legal = {each.uci() for each in board.legal_moves}
    return Outcome.LEGAL if move in legal else Outcome.ILLEGAL


def next_moves(subject: GamesSubject, games: Sequence[tuple[str, ...]]) -> list[str | None]:
    """The decoder's most likely move after each game, over its whole vocabulary."""
    # One more move than is told, whose place is where the answer is read.
    codes = [[notation.code(Name.CHESS, move) for move in (*game, "a1a1")] for game in games]
    at = [(number, len(game)) for number, game in enumerate(games)]
    return greedy_moves(subject, Tag.CHESS, pack(codes, np.uint16), at)


def _written(
    model: LanguageModel, names: Sequence[str], games: Sequence[tuple[str, ...]]
) -> list[str]:
    """What a text model's continuations are, the templates taking turns."""
    ways = [TEMPLATES[names[number % len(names)]] for number in range(len(games))]
    prompts = [way.prompt(game) for way, game in zip(ways, games, strict=True)]
    texts = model.generate(prompts, WRITTEN)
    answers = [way.answer(game, text) for way, game, text in zip(ways, games, texts, strict=True)]
    return [answer.outcome for answer in answers]
