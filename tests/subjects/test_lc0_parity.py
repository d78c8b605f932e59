"""Nets against lc0's own backend: what they see, what they say, and what they would play."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import chess
import lc0_nets
import lc0_writer
import numpy as np
import pytest
import torch
from lc0_reference import Reference, Said, maia, played, wandered

from pytest_mesa.subjects.lc0.load import Lc0Subject, load_net

TOLERANCE = 3e-4  # of logits around 1: what sums in another order come to
VARIES = 30 * TOLERANCE  # how much an output must differ between boards to prove anything
CLASSICAL, CONVOLUTION, ATTENTION = 1, 2, 3


def agree(subject: Lc0Subject, said: Said, boards: Sequence[chess.Board]) -> None:
    """Compare all outputs; each must differ between boards to prove anything."""
    planes = subject.planes(boards)
    assert np.array_equal(planes.numpy(), said.planes)
    with torch.no_grad():
        out = subject.module(planes)
    got = {"policy": out.policy, "q": out.value}
    if out.wdl is not None:
        got["draw"] = out.wdl[:, 1]
    if out.moves_left is not None:
        got["moves_left"] = out.moves_left
    for name, values in got.items():
        want = getattr(said, name)
        assert want.std(0).mean() > VARIES, f"{name} hardly varies"
        gap = np.abs(values.numpy() - want).max()
        assert gap < TOLERANCE, f"{name}: {gap}"
    assert bool(said.draw.any()) == (out.wdl is not None)
    assert bool(said.moves_left.any()) == (out.moves_left is not None)


@cache
def games() -> tuple[chess.Board, ...]:
    """Over 500 positions that Maia reached, then some that such games seldom hold."""
    reached = played(load_net(maia()), games=9, plies=66, seed=3)
    assert len(reached) >= 500
    return (*reached, *wandered(count=18, plies=14, seed=4))


def test_games_hold_what_can_go_wrong() -> None:
    boards = games()
    moves = [(board, move) for board in boards for move in board.legal_moves]
    assert {board.turn for board in boards} == {True, False}
    for holds in (
        lambda board, move: board.is_kingside_castling(move),
        lambda board, move: board.is_queenside_castling(move),
        lambda board, move: board.is_en_passant(move),
        lambda board, move: move.promotion == chess.KNIGHT,
        lambda board, move: move.promotion == chess.ROOK and board.is_capture(move),
    ):
        for color in (True, False):
            assert any(board.turn == color and holds(board, move) for board, move in moves)
    assert sum(board.is_repetition(2) for board in boards) > 20
    assert max(len(board.move_stack) for board in boards) >= 60


def test_maia_equals_lc0() -> None:
    subject, boards = load_net(maia()), games()
    said = Reference(maia()).says(boards)
    agree(subject, said, boards)
    for board, indices, logits, best in zip(
        boards, said.indices, said.policy, subject.best_moves(boards), strict=True
    ):
        own = subject.legal(board)
        assert {_written(board, move): index for move, index in own.items()} == indices
        assert best is not None
        assert own[best] == max(indices.values(), key=lambda index: logits[index])


def _written(board: chess.Board, move: chess.Move) -> str:
    """A move as lc0's bindings write it: castling as the king's two steps."""
    assert chess.square_distance(move.from_square, move.to_square) == 2 or (
        not board.is_castling(move)
    )
    return move.uci()


def test_probabilities_are_lc0s_over_legal_moves() -> None:
    subject, boards = load_net(maia()), games()[:40]
    said = Reference(maia()).says(boards)
    for shares, indices, logits in zip(
        subject.policy(boards), said.indices, said.policy, strict=True
    ):
        weights = np.exp([logits[indices[move.uci()]] for move in shares])
        assert np.allclose(list(shares.values()), weights / weights.sum(), atol=1e-4)


def form(network: int, policy: int, **other: int) -> dict[str, int]:
    return {"input": 1, "output": 2, "network": network, "policy": policy, "value": 2} | other


def check(
    tmp_path: Path, weights: dict[str, Any], declared: dict[str, int] | None, **kw: str
) -> None:
    path = lc0_writer.write(tmp_path / "net.pb.gz", lc0_writer.net_bytes(weights, declared))
    boards = wandered(count=9, plies=6, seed=1)
    options = ",".join(f"{key}={value}" for key, value in kw.items())
    agree(load_net(path, **kw), Reference(path, options).says(boards), boards)


@pytest.mark.parametrize("policy", ["classical", "convolution", "attention"])
@pytest.mark.parametrize(
    ("wdl", "se", "mish", "moves_left", "norm"),
    [
        (True, True, False, False, "full"),
        (False, False, False, True, "old"),
        (True, True, True, True, "none"),
        (False, True, True, False, "full"),
    ],
)
def test_towers(
    tmp_path: Path, policy: str, wdl: bool, se: bool, mish: bool, moves_left: bool, norm: str
) -> None:
    weights = lc0_nets.tower(
        5, policy=policy, wdl=wdl, se=se, moves_left=moves_left, norm=norm, policy_encoders=int(se)
    )
    number = {"classical": CLASSICAL, "convolution": CONVOLUTION, "attention": ATTENTION}[policy]
    declared = form(4 if se else 3, number, default_activation=int(mish))
    check(tmp_path, weights, declared | {"value": 1 + wdl, "moves_left": int(moves_left)})


def test_files_from_before_formats_were_declared(tmp_path: Path) -> None:
    old = lc0_nets.tower(50, policy="classical", wdl=False, se=False, norm="old")
    check(tmp_path, old, None)
    excited = lc0_nets.tower(51, policy="classical", wdl=False, norm="none")
    check(tmp_path, excited, {"input": 1, "output": 1, "network": 2})


OTHERS = {"default_activation": 1, "ffn_activation": 8, "smolgen_activation": 7, "moves_left": 1}


@pytest.mark.parametrize(
    ("shape", "declared"),
    [
        ({}, form(6, ATTENTION, moves_left=1)),
        ({"smolgen": False, "gating": False}, form(6, ATTENTION, default_activation=1)),
        ({"policy_encoders": 1}, form(6, ATTENTION, **OTHERS)),
        ({"wdl": False}, form(6, ATTENTION, moves_left=1) | {"value": 1, "output": 1}),
        # As first written, under the tower's number.
        ({}, form(4, ATTENTION, moves_left=1)),
        ({"smolgen": False}, form(4, ATTENTION, default_activation=1)),
    ],
)
def test_transformers(tmp_path: Path, shape: dict[str, Any], declared: dict[str, int]) -> None:
    left = bool(declared.get("moves_left"))
    check(tmp_path, lc0_nets.transformer(60, moves_left=left, **shape), declared)


@pytest.mark.parametrize("network", [6, 7, 134])
def test_transformers_with_dense_embedding_and_many_heads(tmp_path: Path, network: int) -> None:
    weights = lc0_nets.transformer(70, dense=True, multihead=True, policy_encoders=1)
    declared = form(network, ATTENTION, **OTHERS, input_embedding=2)
    check(tmp_path, weights, declared)
    check(tmp_path, weights, declared, policy_head="optimistic", value_head="q")


def test_many_heads_behind_the_older_embedding(tmp_path: Path) -> None:
    weights = lc0_nets.transformer(71, multihead=True)
    check(tmp_path, weights, form(7, ATTENTION, **OTHERS, input_embedding=1))
