"""How soundly a model plays that is told boards in words, and what is asked of one that can't.

On positions as games bring them it writes greedily what follows a listing. Sound is a legal move
that the frozen engine's scores do not refute; a random legal move is sound in about half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.experiments.games_competence import BLOCK, is_able
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.listings import LISTINGS, Listing, move_in
from pytest_mesa.tasks.games.prompts import Answer, Outcome, tally
from pytest_mesa.verdicts.confidence import confidence_sequence

STREAM = 0x6C697374  # apart from other uses of the seed
WRITTEN = 8  # tokens of a greedy continuation that are read for a move
# What is patched of a model that can't play, so that its record has an estimate.
GLANCE = {"positions": 1, "matched": 1, "layers": 2}


@dataclass(frozen=True, slots=True)
class Move:
    """What a model wrote for a move, and whether that is a sound one."""

    answer: Answer
    sound: bool


def competence(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """1.0 for each position in which what is written is a sound move.

    Templates are compared on positions of their own, and ``kept`` has them by merit; the best is
    asked under, and no further once it conclusively falls short.
    """
    model = load(params["subject"], inputs, LanguageModel, precision="fast")
    words, judged = params["words"], sets.unfiltered()
    order = np.random.default_rng([params["seed"], STREAM]).permutation(len(judged))
    drawn = [judged[number] for number in order[: words["choose"] + params["count"]]]
    tried, asked = drawn[: words["choose"]], drawn[words["choose"] :]
    found = {name: moves(model, LISTINGS[name], tried) for name in words["templates"]}
    kept = sorted(found, key=lambda name: merit(found[name]), reverse=True)
    best: list[Move] = []
    for start in range(0, len(asked), BLOCK):
        best += moves(model, LISTINGS[kept[0]], asked[start : start + BLOCK])
        scores = [float(move.sound) for move in best]
        bounds = confidence_sequence(scores, params["able"]["alpha"]).final
        if bounds.upper < params["able"]["competence"]["at_least"]:
            break
    legal = rate([move.answer.outcome is Outcome.LEGAL for move in best])
    about = {
        "rate": legal,
        "sound": rate(scores),
        "positions": len(best),
        "counts": {str(o): n for o, n in tally(move.answer for move in best).items()},
        "template": kept[0],
        "tried": {
            name: dict(zip(("sound", "legal"), merit(found[name]), strict=True)) for name in kept
        },
        "tried_on": len(tried),
    }
    return {
        "competence": scores,
        "weights_sha": model.weights_sha,
        "kept": kept,
        "detail": {
            "legal_moves": {"chess from a listed board": about},
            "model": model.provenance.to_json(),
        },
    }


def moves(model: LanguageModel, listing: Listing, positions: Sequence[sets.Judged]) -> list[Move]:
    """What the model writes after each position's listing."""
    texts = model.generate([listing.prompt(each.fen) for each in positions], WRITTEN)
    return [judge(each, text) for each, text in zip(positions, texts, strict=True)]


def judge(position: sets.Judged, text: str) -> Move:
    """What a text after a listing says."""
    if not text.strip():
        return Move(Answer(Outcome.EMPTY), sound=False)
    move = move_in(text)
    if move is None:
        return Move(Answer(Outcome.NO_MOVE), sound=False)
    legal = move in position.scores
    outcome = Outcome.LEGAL if legal else Outcome.ILLEGAL
    return Move(Answer(outcome, move), sound=legal and move not in position.refuted())


def merit(found: Sequence[Move]) -> tuple[float, float]:
    """The share of sound moves, and that of legal ones."""
    legal = [move.answer.outcome is Outcome.LEGAL for move in found]
    return rate([move.sound for move in found]), rate(legal)


def rate(values: Sequence[float] | Sequence[bool]) -> float:
    """Their mean, as records show it."""
    return round(float(np.mean(values)), 4)


def glanced(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> Mapping[str, Json]:
    """A look-ahead cell's parameters, cut down where its subject has been shown to be unable.

    ``inputs`` are the subject's own and, of a subject that is judged, its competence.
    """
    words: Any = params.get("words")
    if words is None or all(is_able(words, each) for each in inputs[words["own"] :]):
        return params
    return {
        **params,
        "counts": dict.fromkeys(params["counts"], GLANCE["positions"]),
        "matched": GLANCE["matched"],
        "words": {**words, "layers": GLANCE["layers"], "glance": True},
    }
