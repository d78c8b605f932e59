"""Who goes by the rules keeps everything off the book, who goes by the book loses most of it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pytest
import torch

from pytest_mesa.experiments import off_book, off_book_cells, off_book_pairs
from pytest_mesa.experiments.off_book_pairs import pairs
from pytest_mesa.registry.kinds_offbook import OffBook
from pytest_mesa.registry.models import Prediction, SubjectSpec
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject, untrained
from pytest_mesa.subjects.games_recipes import TWO_GAMES
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.move_players import Book, Rules
from pytest_mesa.subjects.schemes import handles
from pytest_mesa.tasks.games import notation
from pytest_mesa.tasks.games.archive import frozen
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.verdicts.decision import decide
from pytest_mesa.verdicts.evidence import Evidence, Measurement
from pytest_mesa.verdicts.reasons import Outcome

torch.set_num_threads(1)
PARAMS: dict[str, Any] = {
    "subject": {},
    "own": 0,
    "seed": 3,
    "plies": [8, 14],
    "departures": ["departed", "random"],
    "since": 4,
    "candidates": 6,
    "count": 40,
}


def board(moves: tuple[str, ...]) -> chess.Board:
    found = chess.Board()
    for move in moves:
        found.push_uci(move)  # raises where it is not legal
    return found


def unseen() -> set[tuple[str, ...]]:
    _, games = frozen("chess").split()
    return {tuple(notation.text(Name.CHESS, code) for code in game.tolist()) for game in games}


@pytest.mark.parametrize("departure", ["departed", "random"])
def test_pairs_are_matched_and_leave_the_book_where_they_say(departure: str) -> None:
    found = list(islice(pairs(PARAMS, departure), 25))
    whole = unseen()
    begun = {game[:ply] for game in whole for ply in range(15)}
    gaps = []
    for each in found:
        book, off = each.book.moves, each.off.moves
        assert book in begun
        assert len(book) == len(off)
        for told in (each.book, each.off):
            assert told.legal == tuple(move.uci() for move in board(told.moves).legal_moves)
        gaps.append(abs(len(each.book.legal) - len(each.off.legal)))
        start = len(off) - 4 if departure == "departed" else 0
        assert off[:start] in begun
    assert float(np.mean(gaps)) < 4
    assert sum(each.off.moves in begun for each in found) <= 1
    assert found == list(islice(pairs(PARAMS, departure), 25))


@pytest.fixture(scope="module")
def told() -> Result:
    return Result("", off_book_pairs.drawn(PARAMS, (), Path()), Path())


def test_pairs_are_kept_as_they_are_drawn_and_fewer_are_the_first(told: Result) -> None:
    for departure in PARAMS["departures"]:
        kept = off_book_pairs.read(told.payload, departure, 25)
        assert kept == list(islice(pairs(PARAMS, departure), 25))


def measured(
    subject: Any, told: Result, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> dict[str, Any]:
    monkeypatch.setattr(off_book_cells, "load", lambda *_, **__: subject)
    found: dict[str, Any] = off_book_cells.moves(PARAMS | changes, (told,), Path())["detail"]
    return found


def test_rules_keep_everything_and_a_book_loses_most(
    told: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, book = (measured(player, told, monkeypatch) for player in (Rules(), Book()))
    for departure in PARAMS["departures"]:
        assert set(rules["pairs"][departure]["off"]) == {1.0}
        sides = {side: np.mean(scores) for side, scores in book["pairs"][departure].items()}
        assert sides["book"] > 0.25 > sides["off"]
        assert sides["off"] < 0.6 * sides["book"]
        counts = book["off_book"][departure]["off"]
        assert sum(counts.values()) == PARAMS["count"]
        assert counts["no move"] > 0


def test_a_decoder_is_read_after_the_last_move(
    told: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = GamesSubject("untrained", untrained(TWO_GAMES, 0))
    games = [("e2e4", "e7e5"), ("d2d4",)]
    alone = [off_book_cells.next_moves(net, [game])[0] for game in games]
    assert off_book_cells.next_moves(net, games) == alone
    found = measured(net, told, monkeypatch, count=6)
    assert set(found["pairs"]["random"]["book"]) == {0.0}


def test_who_continues_no_games_is_told() -> None:
    with pytest.raises(SubjectError, match="continues no games of chess"):
        off_book_cells.speaker(type("Net", (), {"label": "a net"})(), ())


def test_players_are_named_and_load() -> None:
    (handle,) = handles(SubjectSpec(ref="player:book"))
    assert isinstance(load(handle.params, ()), Book)
    with pytest.raises(SubjectError, match="no player is called 'luck'; there are rules, book"):
        handles(SubjectSpec(ref="player:luck"))
    with pytest.raises(SubjectError, match="takes no options, seeds or untrained"):
        handles(SubjectSpec(ref="player:book", seeds=2))


def spec(**rule: Any) -> Prediction:
    body: dict[str, Any] = {
        "prediction": "p",
        "title": "t",
        "claim": "c",
        "subjects": [{"recipe": "two-game-decoder"}, {"released": True}],
        "competence": {"metric": "legal-rate", "at_least": 0.8},
        "experiment": {},
        "controls": {
            "must_detect": [{"ref": "player:rules"}],
            "must_not_detect": [{"ref": "player:book"}],
        },
        "verdict": {
            "estimand": "kept-legality",
            "predicted": {"below": 0.75},
            "refuted": {"above": 0.9},
            "budget": 1000,
        }
        | rule,
    }
    made = Prediction.model_validate(body)
    return made.model_copy(update={"experiment": OffBook(kind="off-book")})


def test_a_plan_asks_subject_and_controls_the_same() -> None:
    plan = off_book.STUDY.plan(spec())
    (subject,), (rules,), (book,) = plan.subjects, plan.must_detect, plan.must_not_detect
    assert [part.kind for part in subject.inputs] == ["games-competence", "off-book"]
    parts = [cell.inputs[-1] for cell in (subject, rules, book)]
    asked = [part.params for part in parts]
    pairs_of = [each for part in parts for each in part.inputs if each.kind == "off-book-pairs"]
    assert len(pairs_of) == 3 and len({each.key for each in pairs_of}) == 1
    for key in ("count", "departures", "seed"):
        assert len({str(params[key]) for params in asked}) == 1
    with pytest.raises(SubjectError, match="measures 'kept-legality', not 'other'"):
        off_book.STUDY.plan(spec(estimand="other"))
    with pytest.raises(SubjectError, match="refuted 'above'"):
        off_book.STUDY.plan(spec(predicted={"above": 0.9}, refuted={"below": 0.75}))


def evidence(**kept: float) -> Evidence:
    rng = np.random.default_rng(0)

    def payload(shares: dict[str, float]) -> Measurement:
        sides = {
            name: {
                "book": rng.binomial(1, 0.95, 800).astype(float).tolist(),
                "off": rng.binomial(1, 0.95 * share, 800).astype(float).tolist(),
            }
            for name, share in shares.items()
        }
        bare = Measurement("m", (), "least", competence=(1.0,) * 400, detail={"pairs": sides})
        return off_book._read(bare, 0.05)

    return Evidence(
        (payload(kept),),
        (payload({"departed": 1.05, "random": 1.05}),),
        (payload({"departed": 0.2, "random": 0.2}),),
    )


@pytest.mark.parametrize(
    ("departed", "random", "outcome"),
    [
        (1.04, 1.04, Outcome.FAIL),
        (1.04, 0.5, Outcome.PASS),
        (0.4, 0.3, Outcome.PASS),
        (1.04, 0.83, Outcome.INCONCLUSIVE),
    ],
)
def test_the_departure_that_costs_most_decides(
    departed: float, random: float, outcome: Outcome
) -> None:
    rule = spec()
    verdict = decide(rule.verdict, rule.competence, evidence(departed=departed, random=random))
    assert verdict.outcome is outcome
