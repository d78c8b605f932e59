"""How often a net's own next move is legal, game by game, at one ply of each of many games.

A game decoder is read token by token over its whole vocabulary, in games that it was not trained
on. A model that reads text is asked under the templates that suit it best, writes on greedily,
and what it writes is counted: legal, illegal, no move, empty. The weaker game is what counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mesa.registry.models import Competence
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject
from pytest_mesa.subjects.games_legality import greedy_moves
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.games import notation, rules
from pytest_mesa.tasks.games.archive import Archive, frozen
from pytest_mesa.tasks.games.batches import ARCHIVES
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.prompts import TEMPLATES, Answer, Outcome, Template, tally
from pytest_mesa.tasks.games.tokens import Tag
from pytest_mesa.verdicts.assess import assess_competence
from pytest_mesa.verdicts.confidence import confidence_sequence
from pytest_mesa.verdicts.evidence import Measurement

if TYPE_CHECKING:
    from jaxtyping import Int

STREAM = 0x706C6179  # apart from other uses of the seed
BLOCK = 25  # prompts between two looks at whether a model is able
WRITTEN = 8  # tokens of a greedy continuation that are read for a move
KEPT = 2  # templates of a setting that a model is asked under


def measure(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Legal-move rates in all settings; the lowest one's scores as the competence.

    For a model that reads text, ``kept`` are each setting's templates in their order of merit.
    """
    subject: Any = load(params["subject"], inputs[: params["own"]], precision="fast")
    if isinstance(subject, GamesSubject):
        found = [_in_tokens(subject, setting, params) for setting in params["settings"]]
    elif isinstance(subject, LanguageModel):
        found = [_in_words(subject, setting, params) for setting in params["settings"]]
    else:
        raise SubjectError(
            f"{subject.label} is a {type(subject).__name__}, which continues no games: its "
            "legal moves can't be counted"
        )
    worst = min(found, key=lambda each: float(np.mean(each["scores"])))
    provenance = getattr(subject, "provenance", None)
    about = {each["name"]: each["about"] for each in found}
    return {
        "competence": worst["scores"],
        "weights_sha": subject.weights_sha,
        "kept": [each["kept"] for each in found],
        "detail": {"legal_moves": about} | ({"model": provenance.to_json()} if provenance else {}),
    }


def is_able(params: Mapping[str, Json], result: Result) -> bool:
    """Whether a subject conclusively plays legal moves, as the verdict will read it."""
    scores = Measurement("", (), competence=tuple(result.payload["competence"]))
    rule = Competence.model_validate(params["able"]["competence"])
    return assess_competence(scores, rule, params["able"]["alpha"]).ok


def setting_name(setting: Mapping[str, Json]) -> str:
    """``chess``, or ``chess in san`` where it is told in words."""
    writers = sorted({TEMPLATES[name].writer for name in setting["templates"]})
    return f"{setting['game']} in {', '.join(writers)}" if writers else str(setting["game"])


def _archive(setting: Mapping[str, Json]) -> Archive:
    game = Name(setting["game"])
    return frozen(ARCHIVES.get(game, str(game)))


def _drawn(
    setting: Mapping[str, Json], archive: Archive, params: Mapping[str, Json]
) -> tuple[list[int], np.random.Generator]:
    """Games in the registered order that last beyond the setting's plies, and the generator."""
    rng = np.random.default_rng([params["seed"], STREAM, list(Name).index(Name(setting["game"]))])
    return rng.permutation(np.flatnonzero(archive.lengths > setting["plies"][1])).tolist(), rng


def _in_tokens(
    subject: GamesSubject, setting: Mapping[str, Json], params: Mapping[str, Json]
) -> dict[str, Any]:
    """One score a game that the net has not seen: its share of legal moves over the plies."""
    game, (first, last) = Name(setting["game"]), setting["plies"]
    _, unseen = _archive(setting).split()
    drawn, _ = _drawn(setting, unseen, params)
    archive = unseen.select(np.array(drawn[: params["count"]]))
    at = [(number, ply) for number in range(len(archive)) for ply in range(first, last + 1)]
    moves = greedy_moves(subject, Tag[game.name], archive, at)
    said = dict(zip(at, moves, strict=True))
    legal = np.array(
        [
            [said[number, ply] in allowed for ply, allowed in _allowed(game, row, first, last)]
            for number, row in enumerate(archive)
        ],
        dtype=float,
    )
    none = sum(move is None for move in moves)
    counts = {"legal": int(legal.sum()), "no move": none}
    counts["illegal"] = len(moves) - none - counts["legal"]
    about = {"rate": _rounded(legal), "games": len(archive), "moves": len(moves), "counts": counts}
    return {"name": str(game), "scores": legal.mean(1).tolist(), "about": about, "kept": []}


def _allowed(
    game: Name, moves: Int[np.ndarray, " moves"], first: int, last: int
) -> list[tuple[int, tuple[str, ...]]]:
    """The legal moves at each ply of a stretch of one game."""
    state, found = rules.game(game).initial(), []
    for ply, move in enumerate(moves[: last + 1]):
        if ply >= first:
            found.append((ply, state.legal))
        state = state.apply(notation.text(game, int(move)))
    return found


def _in_words(
    model: LanguageModel, setting: Mapping[str, Json], params: Mapping[str, Json]
) -> dict[str, Any]:
    """One score a game: whether what the model writes, under a template kept, is legal there.

    It is asked no further once it conclusively falls short.
    """
    if not setting["templates"]:
        raise SubjectError(
            f"{model.label} reads text, and the setting {setting['game']!r} names no templates "
            "to tell it in"
        )
    templates = [TEMPLATES[name] for name in setting["templates"]]
    archive = _archive(setting)
    drawn, rng = _drawn(setting, archive, params)
    first, last = setting["plies"]
    told = [
        tuple(
            notation.text(templates[0].game, int(m)) for m in row[: rng.integers(first, last + 1)]
        )
        for row in archive.select(np.array(drawn[: params["choose"] + params["count"]]))
    ]
    tried, asked = told[: params["choose"]], told[params["choose"] :]
    rates = {way.name: _rate(_answers(model, [way], tried)) for way in templates}
    kept = sorted(templates, key=lambda way: -rates[way.name])
    answers: list[Answer] = []
    for start in range(0, len(asked), BLOCK):
        answers += _answers(model, kept[:KEPT], asked[start : start + BLOCK])
        scores = [float(answer.outcome is Outcome.LEGAL) for answer in answers]
        bounds = confidence_sequence(scores, params["able"]["alpha"]).final
        if bounds.upper < params["able"]["competence"]["at_least"]:
            break
    about = {
        "rate": round(float(np.mean(scores)), 4),
        "games": len(scores),
        "counts": {str(outcome): count for outcome, count in tally(answers).items()},
        "templates": [way.name for way in kept[:KEPT]],
        "tried": {name: round(rate, 4) for name, rate in rates.items()},
        "tried_on": len(tried),
    }
    name = setting_name(setting)
    return {"name": name, "scores": scores, "about": about, "kept": [w.name for w in kept]}


def _answers(
    model: LanguageModel, ways: Sequence[Template], games: Sequence[tuple[str, ...]]
) -> list[Answer]:
    """What the model says after each game, the templates taking turns."""
    turns = [ways[number % len(ways)] for number in range(len(games))]
    prompts = [way.prompt(moves) for way, moves in zip(turns, games, strict=True)]
    texts = model.generate(prompts, WRITTEN)
    return [w.answer(m, text) for w, m, text in zip(turns, games, texts, strict=True)]


def _rate(answers: Sequence[Answer]) -> float:
    return float(np.mean([answer.outcome is Outcome.LEGAL for answer in answers]))


def _rounded(values: np.ndarray) -> float:
    return round(float(values.mean()), 4)
