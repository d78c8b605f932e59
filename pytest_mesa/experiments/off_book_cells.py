"""The work of the kind ``off-book``: who plays legally on the book and off it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.experiments.games_competence import is_able
from pytest_mesa.experiments.off_book_pairs import Told, read
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import TOGETHER, GamesSubject
from pytest_mesa.subjects.games_legality import greedy_moves
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.move_players import Book, Rules
from pytest_mesa.tasks.games import notation
from pytest_mesa.tasks.games.archive import pack
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.prompts import TEMPLATES, Outcome
from pytest_mesa.tasks.games.tokens import Tag

WRITTEN = 8  # tokens of a text model's continuation that are read for a move
TEMPLATES_KEPT = 2
GLANCE = 40  # pairs for a subject that is not able: enough to describe it

Says = Callable[[Sequence[Told]], list[str]]  # per game: an `Outcome`


def moves(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Who plays legally, pair by pair, under each departure.

    Inputs are the subject's own, the pairs, and its competence where that is asked for.
    """
    subject: Any = load(params["subject"], inputs[: params["own"]], precision="fast")
    pairs, *able = inputs[params["own"] :]
    count = params["count"] if all(is_able(params, each) for each in able) else GLANCE
    says = speaker(subject, able)
    found: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for departure in params["departures"]:
        drawn = read(pairs.payload, departure, count)
        sides = {"book": [each.book for each in drawn], "off": [each.off for each in drawn]}
        outcomes = {side: says(games) for side, games in sides.items()}
        found[departure] = {
            side: [float(each == Outcome.LEGAL) for each in each_side]
            for side, each_side in outcomes.items()
        }
        legal = np.array([[len(side.legal) for side in (each.book, each.off)] for each in drawn])
        told[departure] = {
            "pairs": len(drawn),
            "legal moves there": [round(float(mean), 2) for mean in legal.reshape(-1, 2).mean(0)],
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
        return lambda told: _judged(told, subject.next_moves(Name.CHESS, _games(told)))
    if isinstance(subject, GamesSubject):
        return lambda told: _judged(told, next_moves(subject, _games(told)))
    if isinstance(subject, LanguageModel):
        (ranked,) = able[0].payload["kept"]
        return lambda told: _written(subject, ranked[:TEMPLATES_KEPT], _games(told))
    raise SubjectError(
        f"{subject.label} is a {type(subject).__name__}, which continues no games of chess"
    )


def _games(told: Sequence[Told]) -> list[tuple[str, ...]]:
    return [each.moves for each in told]


def _judged(told: Sequence[Told], moves: Sequence[str | None]) -> list[str]:
    found: list[str] = []
    for each, move in zip(told, moves, strict=True):
        legal = Outcome.LEGAL if move in each.legal else Outcome.ILLEGAL
        found.append(Outcome.NO_MOVE if move is None else legal)
    return found


def next_moves(subject: GamesSubject, games: Sequence[tuple[str, ...]]) -> list[str | None]:
    """The decoder's most likely move after each game, over its whole vocabulary."""
    found: list[str | None] = [None] * len(games)
    # Together with others as long, since a batch is as long as its longest.
    order = sorted(range(len(games)), key=lambda number: len(games[number]))
    for start in range(0, len(order), TOGETHER):
        part = order[start : start + TOGETHER]
        # One more move than is told, whose place is where the answer is read.
        lines = [(*games[number], "a1a1") for number in part]
        archive = pack([[notation.code(Name.CHESS, m) for m in line] for line in lines], np.uint16)
        at = [(place, len(line) - 1) for place, line in enumerate(lines)]
        for number, move in zip(part, greedy_moves(subject, Tag.CHESS, archive, at), strict=True):
            found[number] = move
    return found


def _written(
    model: LanguageModel, names: Sequence[str], games: Sequence[tuple[str, ...]]
) -> list[str]:
    """What a text model's continuations are, the templates taking turns."""
    ways = [TEMPLATES[names[number % len(names)]] for number in range(len(games))]
    prompts = [way.prompt(game) for way, game in zip(ways, games, strict=True)]
    texts = model.generate(prompts, WRITTEN)
    answers = [way.answer(game, text) for way, game, text in zip(ways, games, texts, strict=True)]
    return [answer.outcome for answer in answers]
