"""Positions as planes: equal to lc0's in every input format, and what symmetry demands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import chess
import lc0_nets
import lc0_writer
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lc0_reference import Reference, wandered

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.formats import InputFormat
from pytest_mesa.subjects.lc0.load import Lc0Subject, load_net
from pytest_mesa.subjects.lc0.planes import encode
from pytest_mesa.subjects.lc0.rules import read_board

FORMATS = list(InputFormat)
ENDINGS = (
    "8/8/8/3k4/8/2R5/8/K7 w - - 0 1",
    "8/1k6/8/8/5n2/8/2Q5/6K1 b - - 0 1",
    "K7/8/8/8/8/8/1r6/k6r w - - 0 1",  # on the diagonal, so that the rest decides
    "8/8/8/4K3/8/8/2b5/k1n5 w - - 0 1",
    "8/5ppp/8/1k6/8/8/PPP5/1K1R4 b - - 0 1",
)


def small_net(path: Path, form: InputFormat) -> Path:
    declared = {"input": int(form), "output": 2, "network": 4, "policy": 2, "value": 2}
    weights = lc0_nets.tower(9, channels=8, blocks=1)
    return lc0_writer.write(path, lc0_writer.net_bytes(weights, declared))


def positions() -> list[chess.Board]:
    boards = wandered(count=36, plies=12, seed=5)
    for fen in ENDINGS:
        board = chess.Board(fen)
        for move in ("c3c5", "b7c6", "a8b8", "e5e4", "b5b4"):
            if chess.Move.from_uci(move) in board.legal_moves:
                board.push_uci(move)
        boards += [chess.Board(fen), board]
    return boards + _long_way_round()


def _long_way_round() -> list[chess.Board]:
    """Kings that walk around four squares: nothing recurs before eight plies."""
    board, seen = chess.Board("4k3/8/8/8/8/8/8/R3K2R w - - 0 1"), []
    for _ in range(2):
        for move in ("e1e2", "e8e7", "e2d2", "e7d7", "d2d1", "d7d8", "d1e1", "d8e8"):
            board.push_uci(move)
            seen.append(board.copy())
    assert seen[7].is_repetition(2)
    return seen


@pytest.mark.parametrize("form", FORMATS)
def test_planes_are_lc0s(tmp_path: Path, form: InputFormat) -> None:
    boards = positions()
    if form.only_repeats:  # here lc0 never returns where a FEN's clock has run
        boards = [each for each in boards if each.root().halfmove_clock == 0]
    path = small_net(tmp_path / "net.pb.gz", form)
    planes = load_net(path).planes(boards).numpy()
    wanted = Reference(path).says(boards).planes
    for board, got, want in zip(boards, planes, wanted, strict=True):
        assert (got == want).all(), (board.root().fen(), board.move_stack)


@pytest.mark.parametrize("form", FORMATS)
def test_the_two_sides_see_the_same(form: InputFormat) -> None:
    for board in positions():
        bare = _bare(board)
        if bare.fen() == chess.STARTING_FEN:
            continue  # nothing comes before this one, but before its mirror image
        planes, mirrored = encode([bare, bare.mirror()], form)
        differ = {int(plane) for plane in (planes != mirrored).any((1, 2)).nonzero()[:, 0]}
        # Only the planes that tell whose move it is.
        assert differ == ({110} if form.armageddon else set() if form.canonical else {108})


def _bare(board: chess.Board) -> chess.Board:
    """The position without the game that led to it, which `mirror` leaves out as well."""
    bare = board.copy(stack=False)
    if not bare.has_pseudo_legal_en_passant():
        bare.ep_square = None  # which in a FEN, unlike in a game, would be taken at its word
    return bare


@pytest.fixture(scope="module")
def canonical_net(tmp_path_factory: pytest.TempPathFactory) -> Lc0Subject:
    path = tmp_path_factory.mktemp("canonical") / "net.pb.gz"
    return load_net(small_net(path, InputFormat.CANONICALIZATION))


Turn = Callable[[int], int]
TURNS: tuple[Turn, ...] = (
    chess.flip_horizontal,
    chess.flip_vertical,
    chess.flip_diagonal,
    chess.flip_anti_diagonal,
)


@st.composite
def pawnless(draw: st.DrawFn) -> chess.Board:
    """A legal position without pawns or castling rights, White to move."""
    squares = draw(st.lists(st.integers(0, 63), min_size=2, max_size=6, unique=True))
    board = chess.Board(None)
    board.set_piece_at(squares[0], chess.Piece(chess.KING, True))
    board.set_piece_at(squares[1], chess.Piece(chess.KING, False))
    for square in squares[2:]:
        kind, color = draw(st.sampled_from([2, 3, 4, 5])), draw(st.booleans())
        board.set_piece_at(square, chess.Piece(kind, color))
    return board


@settings(max_examples=60, deadline=None)
@given(pawnless(), st.sampled_from(TURNS))
def test_a_canonical_net_plays_turned_positions_alike(
    canonical_net: Lc0Subject, board: chess.Board, turn: Turn
) -> None:
    twin = board.transform(turn)
    # Where a position is its own mirror image, two moves are one to the net.
    assume(board.is_valid() and all(board.transform(each) != board for each in TURNS))
    assert torch.equal(*canonical_net.planes([board, twin]))
    moved = {square: chess.msb(turn(1 << square)) for square in range(64)}
    here, there = canonical_net.policy([board, twin])
    assert there == pytest.approx(
        {
            chess.Move(moved[move.from_square], moved[move.to_square]): share
            for move, share in here.items()
        },
        abs=1e-5,
    )


def test_a_square_is_where_its_piece_is_seen(canonical_net: Lc0Subject) -> None:
    for board in (each for each in positions() if each.queens):
        (queen, *_) = board.pieces(chess.QUEEN, board.turn) or [None]
        if queen is not None:
            (planes,) = canonical_net.planes([board])
            assert planes[4].flatten()[canonical_net.square(board, queen)] == 1


def test_history_before_a_fen_is_its_position() -> None:
    start, later = encode([chess.Board(), chess.Board("4k3/8/8/8/8/8/4P3/4K3 w - - 0 1")])
    assert not start[13:104].any()
    assert torch.equal(later[:13], later[13:26])


def test_a_double_step_is_undone_in_the_history_that_a_fen_does_not_tell() -> None:
    (planes,) = encode([chess.Board("4k3/8/8/8/3pP3/8/8/4K3 b - e3 0 1")])
    now, before = planes[6], planes[13 + 6]  # White's pawns, seen from Black
    assert now.nonzero().tolist() == [[4, 4]]
    assert before.nonzero().tolist() == [[6, 4]]


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (chess.Board(None), "White has 0 kings"),
        (chess.Board(chess960=True), "not Chess960"),
    ],
)
def test_boards_that_nets_do_not_know(board: chess.Board, message: str) -> None:
    with pytest.raises(SubjectError, match=message):
        encode([board])


@pytest.mark.parametrize(
    ("fen", "moves", "message"),
    [
        ("8/8/8 w", [], "no chess position"),
        (chess.STARTING_FEN, ["e2e5"], "illegal uci: 'e2e5'"),
        ("8/8/8/8/8/8/8/8 w - - 0 1", [], "0 kings"),
    ],
)
def test_illegal_positions_are_refused(fen: str, moves: list[str], message: str) -> None:
    with pytest.raises(SubjectError, match=message):
        read_board(fen, moves)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mesa.subjects.lc0.rules.find_spec", lambda name: None)
    with pytest.raises(SubjectError, match=r"pytest-mesa\[games\]"):
        read_board()
