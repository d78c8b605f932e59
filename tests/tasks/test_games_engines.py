"""The engines' drivers against scripts that speak their protocols, and the real ones if any."""

from __future__ import annotations

import shutil
import sys
from itertools import islice
from pathlib import Path

import chess
import numpy as np
import pytest

from pytest_mesa.tasks.games import engines, rules
from pytest_mesa.tasks.games.corrupting import LOSS, corruptions
from pytest_mesa.tasks.games.engines import MATE, EngineError, GnuGo, Line, Stockfish, find
from pytest_mesa.tasks.games.making import legal_part
from pytest_mesa.tasks.games.mining import PUZZLES
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.playing import ChessPlay, GoPlay

UCI = """
import sys
log = open("{log}", "a")
for line in sys.stdin:
    print(line.strip(), file=log, flush=True)
    if line.startswith("uci\\n"):
        print("id name Fakefish 1\\nuciok")
    elif line.startswith("isready"):
        print("readyok")
    elif line.startswith("go"):
        print("info depth 1 multipv 1 score cp 3 nodes 1 pv a2a3")
        print("info depth 2 multipv 1 score cp 9 upperbound nodes 1 pv a2a3")
        print("info depth 2 multipv 1 score mate 2 nodes 1 pv e2e4 e7e5 d2d4")
        print("info depth 2 multipv 2 score mate -3 nodes 1 pv g2g4")
        print("bestmove e2e4")
    elif line.startswith("quit"):
        break
    sys.stdout.flush()
"""
GTP = """
import sys
for line in sys.stdin:
    answer = {{"version": "= 9.9", "genmove black": "= E5"}}.get(line.strip(), "=")
    print("? no such command\\n" if line.startswith("dance") else answer + "\\n", flush=True)
"""


def program(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(f"#!{sys.executable}\n" + text.format(log=tmp_path / "log"))
    path.chmod(0o755)
    return path


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both engines, as scripts on ``PATH``; what the chess engine is told is in ``log``."""
    program(tmp_path, "stockfish", UCI)
    program(tmp_path, "gnugo", GTP)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_lines_are_those_of_the_last_depth(fake: Path) -> None:
    with Stockfish() as engine:
        assert engine.version == "Fakefish 1"
        lines = engine.lines("startpos", "nodes 5", 2, among=("e2e4",))
    assert lines == (
        Line(MATE - 2, ("e2e4", "e7e5", "d2d4")),
        Line(-MATE + 3, ("g2g4",)),
    )
    told = (fake / "log").read_text().splitlines()
    assert told[1:3] == ["setoption name Threads value 1", "setoption name Hash value 4"]
    assert told[-3:] == [
        "setoption name MultiPV value 2",
        "position startpos",
        "go nodes 5 searchmoves e2e4",
    ]


def test_go_answers_and_refusals(fake: Path) -> None:
    with GnuGo() as engine:
        assert engine.version == "9.9"
        engine.new_game(seed=1, komi=7.0)
        assert engine.ask("genmove black") == "E5"
        with pytest.raises(EngineError, match="gnugo refuses 'dance': \\? no such command"):
            engine.ask("dance")


def test_an_engine_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "stockfish", "print('id name Short')")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"stockfish (stopped answering|has ended)"):
        Stockfish()


def test_a_missing_engine_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engines, "PLACES", ())
    with pytest.raises(EngineError, match="gnugo is not installed; on Debian: apt-get install"):
        find("gnugo")


def test_games_are_cut_where_the_rules_end() -> None:
    fool = ["f2f3", "e7e5", "g2g4", "d8h4"]
    assert len(legal_part(Name.CHESS, [*fool, "e1f2"])) == 4
    assert legal_part(Name.GO, ["E5", "PASS", "E5"]) == (40, 81)


real_fish = pytest.mark.skipif(
    shutil.which("stockfish", path="/usr/games:/usr/bin") is None, reason="no Stockfish here"
)
real_go = pytest.mark.skipif(
    shutil.which("gnugo", path="/usr/games:/usr/bin") is None, reason="no GNU Go here"
)


@real_fish
def test_stockfish_plays_the_same_game_again() -> None:
    play = ChessPlay(seed=7, games=2, plies=12, nodes=100)
    first = list(play.make())
    assert first == list(play.make())
    assert first[0] != first[1]
    for game in first:
        assert len(game) == 12
        rules.game("chess").after(game)


@real_go
def test_gnugo_plays_the_same_game_again() -> None:
    play = GoPlay(seed=7, games=1, plies=10)
    assert list(play.make()) == list(play.make())


@real_fish
def test_corruptions_take_away_why_a_move_works() -> None:
    board = chess.Board("3Q4/1R3pk1/4p3/1B1pP3/7n/3K1n2/8/4q3 b - - 3 60")
    best = Line(MATE - 1, ("e1d2",))
    with Stockfish() as engine:
        made = corruptions(engine, board, best, np.random.default_rng(0))
    assert made
    for corruption in made:
        changed = chess.Board(corruption.fen)
        assert changed.is_valid() and chess.Move.from_uci("e1d2") in changed.legal_moves
        assert corruption.loss >= LOSS and corruption.best != "e1d2"
        differ = {s for s in chess.SQUARES if board.piece_at(s) != changed.piece_at(s)}
        assert {chess.square_name(square) for square in differ} == set(corruption.changed)
        assert not set(corruption.changed) & {"e1", "d2"}


@real_fish
def test_mined_puzzles_repeat() -> None:
    with Stockfish() as engine:
        first = list(islice(PUZZLES[1].mine(engine), 1))
    with Stockfish() as engine:
        assert list(islice(PUZZLES[1].mine(engine), 1)) == first
