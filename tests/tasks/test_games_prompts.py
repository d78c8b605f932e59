"""Prompts tell the game, options are its legal moves, and answers are counted as what they are."""

from __future__ import annotations

import io
from itertools import pairwise

import chess
import chess.pgn
import numpy as np
import pytest
from games_strategies import lines_of_play, variants
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.tasks.games import chess_text
from pytest_mesa.tasks.games.errors import GamesError, MoveError
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.prompts import TEMPLATES, Answer, Outcome, tally, templates
from pytest_mesa.tasks.games.rules import game
from pytest_mesa.tasks.games.variants import Kind, Variant, random_moves

PGN, UCI = TEMPLATES["pgn-tags"], TEMPLATES["uci-position"]
SGF, GTP = TEMPLATES["sgf-full"], TEMPLATES["go-gtp"]
ITALIAN = ["e2e4", "e7e5", "g1f3", "b8c6", "f1c4"]
MIRRORED, RENAMED = Variant(Kind.MIRRORED), Variant(Kind.RELABELLED, 1)


@given(st.data(), st.sampled_from(sorted(TEMPLATES)))
@settings(max_examples=40, deadline=None)
def test_every_option_is_read_back_as_its_move(data: st.DataObject, name: str) -> None:
    template = TEMPLATES[name]
    moves = data.draw(lines_of_play(template.game))
    variant = data.draw(variants(template.game))
    options = template.options(moves, variant)
    assert set(options.values()) == set(game(template.game).after(moves).legal)
    texts = sorted(options)
    for one, other in pairwise(texts):
        assert not other.startswith(one), "an option begins another"
    for text, move in options.items():
        read = template.answer(moves, text, variant)
        assert read == Answer(Outcome.LEGAL, move), (text, move)


@given(st.data(), st.sampled_from(sorted(TEMPLATES)))
@settings(max_examples=40, deadline=None)
def test_a_prompt_and_its_answer_begin_the_next_prompt(data: st.DataObject, name: str) -> None:
    template = TEMPLATES[name]
    moves = data.draw(lines_of_play(template.game).filter(lambda line: len(line) > 0))
    variant = data.draw(variants(template.game))
    before = template.prompt(moves[:-1], variant)
    by_move = {move: text for text, move in template.options(moves[:-1], variant).items()}
    # A space that ends O-O stands before the next move, too, unless nothing follows.
    assert (template.prompt(moves, variant) + " ").startswith(before + by_move[moves[-1]])


@pytest.mark.parametrize("variant", [Variant(), MIRRORED])
def test_pgn_is_read_by_python_chess_as_the_same_game(variant: Variant) -> None:
    moves = random_moves(Name.CHESS, 40, np.random.default_rng(4))
    told = chess.pgn.read_game(io.StringIO(PGN.prompt(moves, variant)))
    assert told is not None and not told.errors
    played = [move.uci() for move in told.mainline_moves()]
    assert played == (chess_text.mirrored(moves) if variant.swapped else list(moves))


def test_prompts_look_as_their_formats_do() -> None:
    assert PGN.prompt(ITALIAN).endswith("\n\n1. e4 e5 2. Nf3 Nc6 3. Bc4")
    assert PGN.prompt(ITALIAN[:4]).endswith("2. Nf3 Nc6 3.")
    assert PGN.prompt([], MIRRORED).endswith("\n1...")
    assert UCI.prompt([]) == "position startpos moves"
    assert SGF.prompt(["e5", "c3", "pass"]).endswith(";B[ee];W[cg];B[];W[")
    assert GTP.prompt(["e5"], MIRRORED).endswith("play white E5\nplay black")
    assert (
        TEMPLATES["numbers-log"].prompt(["2", "7"]).endswith("Ann takes 2, Bob takes 7, Ann takes")
    )


def test_castling_is_told_from_castling_long() -> None:
    white = ["g1f3", "g2g3", "f1g2", "d2d4", "c1f4", "b1c3", "d1d2"]
    black = ["g8f6", "g7g6", "f8g7", "d7d5", "c8f5", "b8c6", "d8d7"]
    moves = [move for pair in zip(white, black, strict=True) for move in pair]
    options = PGN.options(moves)
    assert options[" O-O "] == "e1g1" and options[" O-O-O"] == "e1c1"


@pytest.mark.parametrize(
    ("name", "text", "outcome", "move"),
    [
        ("pgn-tags", " Nf6 4. d3", Outcome.LEGAL, "g8f6"),
        ("pgn-tags", " 3... Nf6", Outcome.LEGAL, "g8f6"),
        ("pgn-tags", " Nf6?!", Outcome.LEGAL, "g8f6"),
        ("pgn-tags", " Ke4", Outcome.ILLEGAL, None),
        ("pgn-tags", " I resign.", Outcome.NO_MOVE, None),
        ("pgn-tags", "", Outcome.EMPTY, None),
        ("pgn-tags", " \n ", Outcome.EMPTY, None),
        ("uci-position", " g8f6 d2d3", Outcome.LEGAL, "g8f6"),
        ("uci-position", "G8F6", Outcome.LEGAL, "g8f6"),
        ("uci-position", " e1e8", Outcome.ILLEGAL, "e1e8"),
        ("uci-position", " g8f66", Outcome.NO_MOVE, None),
        ("uci-position", " g8", Outcome.NO_MOVE, None),
    ],
)
def test_answers_at_chess(name: str, text: str, outcome: Outcome, move: str | None) -> None:
    assert TEMPLATES[name].answer(ITALIAN, text) == Answer(outcome, move)


@pytest.mark.parametrize(
    ("name", "text", "outcome", "move"),
    [
        ("sgf-full", "cg];B[", Outcome.LEGAL, "c3"),
        ("sgf-full", "cg", Outcome.LEGAL, "c3"),
        ("sgf-full", "]", Outcome.LEGAL, "pass"),
        ("sgf-full", "tt]", Outcome.LEGAL, "pass"),
        ("sgf-full", "ee]", Outcome.ILLEGAL, "e5"),
        ("sgf-full", "zz]", Outcome.NO_MOVE, None),
        ("go-gtp", " c3\n", Outcome.LEGAL, "c3"),
        ("go-gtp", " E5", Outcome.ILLEGAL, "e5"),
        ("go-gtp", " PASS", Outcome.LEGAL, "pass"),
        ("go-gtp", " I5", Outcome.NO_MOVE, None),
        ("go-gtp", " C10", Outcome.NO_MOVE, None),
    ],
)
def test_answers_at_go(name: str, text: str, outcome: Outcome, move: str | None) -> None:
    assert TEMPLATES[name].answer(["e5"], text) == Answer(outcome, move)


def test_outcomes_are_counted_none_left_out() -> None:
    said = ["", "foo", " e2e4", " e2e5", " e2e5"]
    counts = tally(UCI.answer([], text) for text in said)
    assert counts == {
        Outcome.LEGAL: 1,
        Outcome.ILLEGAL: 2,
        Outcome.NO_MOVE: 1,
        Outcome.EMPTY: 1,
    }


def test_variants_mean_what_they_say() -> None:
    assert MIRRORED.says(Name.CHESS, "b7b8b") == "b2b1b"
    renamed = RENAMED.says(Name.CHESS, "b7b8b")
    assert renamed[4] == "b" and renamed[:4] != "b7b8"
    assert RENAMED.means(Name.CHESS, renamed) == "b7b8b"
    assert RENAMED.says(Name.GO, "pass") == "pass"
    assert Variant(Kind.RELABELLED, 2).says(Name.CHESS, "b7b8b") != renamed
    with pytest.raises(GamesError, match="fifteen has no board to relabel"):
        RENAMED.says(Name.FIFTEEN, "5")


def test_a_mirrored_position_has_the_mirrored_moves() -> None:
    fen = "r1bqkb1r/pppp1ppp/2n2n2/4p2Q/2B1P3/8/PPPP1PPP/RNB1K1NR w KQkq - 4 4"
    mirrored = chess_text.mirrored_fen(fen)
    assert chess_text.mirrored_fen(mirrored) == chess.Board(fen).fen()
    legal = set(game("chess").position(fen).legal)
    assert set(game("chess").position(mirrored).legal) == set(chess_text.mirrored(sorted(legal)))
    assert "h4f2" in game("chess").position(mirrored).legal


def test_impossible_games_are_refused() -> None:
    for act in (PGN.prompt, PGN.options, UCI.prompt):
        with pytest.raises(MoveError, match="move 2: e2e4 is not legal"):
            act(["e2e4", "e2e4"])


def test_each_way_of_writing_has_several_templates() -> None:
    for writer in ("san", "uci", "sgf"):
        assert len({t.opening for t in TEMPLATES.values() if t.writer == writer}) == 3
    assert {t.name for t in templates(Name.GO)} > {t.name for t in templates(Name.GO, "sgf")}
