"""The frozen positions: each record is what it claims, and damage is named with its line."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path

import chess
import numpy as np
import pytest

from pytest_mesa._paths import shipped
from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.sets import MATE, Corruption, Judged, Puzzle, puzzles, unfiltered

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
PUZZLE = Puzzle(
    E4, START, ("e2e4",), ("e7e5", "g1f3", "b8c6"), 30, (250, 10, 90), None,
    (Corruption(E4, ("a7",), "d7d5", 300),),
)  # fmt: skip
JUDGED = Judged(E4, START, ("e2e4",), {"e7e5": -20, "g7g5": -220, "f7f6": -219})


def manifest() -> dict[str, dict[str, dict[str, object]]]:
    path = shipped("fixtures") / "positions" / "manifest.json"
    return dict(json.loads(path.read_text()))


def sample(records: tuple[sets.Record, ...], count: int) -> list[sets.Record]:
    chosen = np.random.default_rng(1).choice(len(records), count, replace=False)
    return [records[index] for index in chosen]


def kept(folder: Path, name: str = "puzzles", lines: list[str] | None = None) -> Path:
    """A set of one record, or of any lines, with a manifest that goes with it."""
    path = folder / f"{name}.jsonl.gz"
    if lines is None:
        sets.write((PUZZLE,), path)
    else:
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({"files": {path.name: sha}}))
    return path


def test_records_survive_their_file(tmp_path: Path) -> None:
    for record, read in ((PUZZLE, Puzzle.read), (JUDGED, Judged.read)):
        path = tmp_path / "set.jsonl.gz"
        sha = sets.write((record, record), path)
        assert sha == sets.write((record, record), path), "the same records, the same bytes"
        (tmp_path / "manifest.json").write_text(json.dumps({"files": {path.name: sha}}))
        assert sets.read("set", read, tmp_path) == (record, record)


def test_the_sets_hold_what_their_manifest_says() -> None:
    strata = Counter(puzzle.stratum for puzzle in puzzles())
    assert sum(strata.values()) >= 3000
    assert set(strata) == {"mate-1", "mate-2", "mate-3", "mate-4", "other"}
    assert min(strata.values()) >= 75
    assert len(unfiltered()) >= 3000
    recorded = manifest()["sets"]
    assert recorded["puzzles.jsonl.gz"]["strata"] == dict(strata)
    assert recorded["unfiltered.jsonl.gz"]["positions"] == len(unfiltered())
    assert all(str(about["engine"]).startswith("Stockfish") for about in recorded.values())


def test_no_position_stands_twice() -> None:
    for records in (puzzles(), unfiltered()):
        keys = Counter(" ".join(record.fen.split()[:4]) for record in records)
        assert keys.most_common(1)[0][1] == 1


@pytest.mark.parametrize("source", [puzzles, unfiltered], ids=["puzzles", "unfiltered"])
def test_histories_lead_to_their_positions(source: object) -> None:
    for record in sample(source(), 150):  # type: ignore[operator]
        board = chess.Board(record.before)
        for move in record.history:
            board.push_uci(move)
        assert board.fen() == record.fen
        assert len(record.history) == 7
        assert chess.Board(record.fen).is_valid()


def test_puzzles_have_a_clear_legal_line() -> None:
    for puzzle in sample(puzzles(), 200):
        board = chess.Board(puzzle.fen)
        for move in puzzle.line:
            board.push(board.parse_uci(move))
        assert puzzle.gaps[0] >= 200 or puzzle.mate is not None
        if puzzle.mate is None:
            assert len(puzzle.line) >= 3 and puzzle.gaps[2] >= 80
            assert -50 <= puzzle.score < MATE // 2
        else:
            assert len(puzzle.line) == 2 * puzzle.mate - 1 and board.is_checkmate()


def test_corruptions_are_minimal_legal_and_spare_the_line() -> None:
    for puzzle in sample(puzzles(), 200):
        assert puzzle.corruptions
        clean = chess.Board(puzzle.fen)
        touched = {square for move in puzzle.line for square in (move[:2], move[2:4])}
        for corruption in puzzle.corruptions:
            board = chess.Board(corruption.fen)
            assert board.is_valid() and board.turn == clean.turn
            assert chess.Move.from_uci(puzzle.line[0]) in board.legal_moves
            assert chess.Move.from_uci(corruption.best) in board.legal_moves
            assert corruption.best != puzzle.line[0] and corruption.loss >= 150
            differ = {s for s in chess.SQUARES if clean.piece_at(s) != board.piece_at(s)}
            assert {chess.square_name(s) for s in differ} == set(corruption.changed)
            assert len(differ) in (1, 2) and not touched & set(corruption.changed)


def test_every_legal_move_is_judged() -> None:
    share = []
    for judged in sample(unfiltered(), 200):
        legal = {move.uci() for move in chess.Board(judged.fen).legal_moves}
        assert set(judged.scores) == legal
        assert judged.best not in judged.refuted() or not judged.refuted()
        share.append(len(judged.refuted()) / len(legal))
    assert 0.2 < np.mean(share) < 0.8, "refuted moves and others must both be common"


def test_refuted_moves_lose_at_least_the_margin() -> None:
    assert JUDGED.best == "e7e5"
    assert JUDGED.refuted() == {"g7g5"}
    assert JUDGED.refuted(199) == {"g7g5", "f7f6"}
    assert JUDGED.to_move == "b"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"fen": "8/8"}, "has not the six fields of a FEN"),
        ({"line": ["e4"]}, "'e4' is no move in UCI notation"),
        ({"line": []}, "a puzzle has a line"),
        ({"gaps": [1, 2, 3, 4]}, "a gap for each of its first plies"),
        ({"mate": 2}, "mate in 2 does not score 30"),
        ({"score": None}, "TypeError"),
    ],
)
def test_a_wrong_record_is_named_with_its_line(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    kept(tmp_path)
    line = gzip.decompress((tmp_path / "puzzles.jsonl.gz").read_bytes()).decode().strip()
    kept(tmp_path, lines=[line, json.dumps(json.loads(line) | change)])
    with pytest.raises(GamesError, match=f"line 2: .*{complaint}"):
        sets.read("puzzles", Puzzle.read, tmp_path)


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(GamesError, match=r"puzzles\.jsonl\.gz can't be read \(FileNotFound"):
        sets.read("puzzles", Puzzle.read, tmp_path)
    path = kept(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(GamesError, match="differs from its recorded SHA-256; restore it"):
        sets.read("puzzles", Puzzle.read, tmp_path)
    kept(tmp_path, lines=["{"])
    with pytest.raises(GamesError, match="line 1: JSONDecodeError"):
        sets.read("puzzles", Puzzle.read, tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(GamesError, match="KeyError: 'files'"):
        sets.read("puzzles", Puzzle.read, tmp_path)
