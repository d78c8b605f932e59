"""Nets of known mind: shuffled twins, and look-ahead that is where it was planted."""

from __future__ import annotations

from pathlib import Path

import chess
import lc0_nets
import lc0_writer
import pytest
import torch

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.lc0 import altered, planted
from pytest_mesa.subjects.lc0.load import Lc0Subject, load_net
from pytest_mesa.subjects.lc0_handles import altered as altered_handles
from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.sets import Corruption, Puzzle

# Anastasia's mate: a knight's check, a sacrifice on h7, a rook's mate; the pawn on g7 is needed.
CLEAN = "5r1k/4Nppp/8/7Q/8/8/8/R3R1K1 w - - 0 1"
BROKEN = "5r1k/4Np1p/8/7Q/8/8/8/R3R1K1 w - - 0 1"
OTHER = "5r1k/4Nppp/8/7Q/8/8/P7/R3R1K1 w - - 0 1"
PUZZLE = Puzzle(
    fen=CLEAN,
    before=CLEAN,
    history=(),
    line=("h5h7", "h8h7", "e1e5", "f8d8", "e5h5"),
    score=300,
    gaps=(300,),
    mate=None,
    corruptions=(Corruption(BROKEN, ("g7",), "a1a8", 300),),
)


def loaded(folder: Path, kind: str) -> Lc0Subject:
    if kind == "tower":
        weights, form = lc0_nets.tower(11, channels=12, blocks=6), {"network": 4, "policy": 2}
    else:
        weights, form = lc0_nets.transformer(12, moves_left=False), {"network": 6, "policy": 3}
    content = lc0_writer.net_bytes(weights, {"input": 1, "output": 2, "value": 2} | form)
    return load_net(lc0_writer.write(folder / f"{kind}.pb.gz", content))


@pytest.fixture(autouse=True)
def one_puzzle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "puzzles", lambda: (PUZZLE,))


@pytest.mark.parametrize("kind", ["tower", "transformer"])
def test_a_shuffled_twin_keeps_the_entries_and_the_scale_but_not_the_moves(
    tmp_path: Path, kind: str
) -> None:
    own, twin = loaded(tmp_path, kind), altered.untrained(loaded(tmp_path, kind), 3)
    kept = dict(own.module.named_parameters())
    for name, values in twin.module.named_parameters():
        before = kept[name.replace("policy.head.", "policy.")]
        assert torch.equal(values.flatten().sort().values, before.flatten().sort().values)
    boards = altered.random_boards(3)
    assert altered._spread(twin, boards) == pytest.approx(altered._spread(own, boards), rel=1e-3)
    assert twin.best_moves(boards) != own.best_moves(boards)
    again = altered.untrained(loaded(tmp_path, kind), 3)
    other = altered.untrained(loaded(tmp_path, kind), 4)
    assert again.weights_sha == twin.weights_sha != other.weights_sha
    assert twin.label.endswith("untrained")
    assert twin.stream.layers == own.stream.layers


def logit(subject: Lc0Subject, fen: str, move: str = "h5h7") -> float:
    board = chess.Board(fen)
    (out,) = subject.outputs([board])
    return float(out.policy[0, subject.legal(board)[chess.Move.from_uci(move)]])


@pytest.mark.parametrize("kind", ["tower", "transformer"])
@pytest.mark.parametrize("plant", ["tree", "look-ahead", "unlike", "elsewhere"])
def test_the_first_move_gains_where_the_line_holds_and_nothing_else_does(
    tmp_path: Path, kind: str, plant: str
) -> None:
    own, told = loaded(tmp_path, kind), altered.planted(loaded(tmp_path, kind), plant, 1.0, 0)
    gain = logit(told, CLEAN) - logit(own, CLEAN)
    assert gain == pytest.approx(planted.BONUS, abs=1e-4)
    assert logit(told, CLEAN, "e1e5") == pytest.approx(logit(own, CLEAN, "e1e5"), abs=1e-4)
    for fen in (BROKEN, OTHER):
        assert logit(told, fen) == pytest.approx(logit(own, fen), abs=1e-4)
    assert told.stream.layers == own.stream.layers  # and its checks have passed


def fallen(told: Lc0Subject, square: str, layer: int) -> float:
    """By how much the first move's logit falls after one square comes from the broken run."""
    boards = [chess.Board(CLEAN), chess.Board(BROKEN)]
    streams = told.stream.capture(told.planes(boards))[layer]
    site = told.square(boards[0], chess.parse_square(square))
    # The net's own channels stay, so that only what is planted is patched.
    mixed = streams[:1].clone()
    mixed[0, site, -planted.ROOM :] = streams[1, site, -planted.ROOM :]
    index = told.legal(boards[0])[chess.Move.from_uci("h5h7")]
    with torch.no_grad():
        whole, part = (told.stream.resume(s, layer).policy[0, index] for s in (streams[:1], mixed))
    return float(whole - part)


@pytest.mark.parametrize(
    ("plant", "third", "fifth"),
    [  # by layer 0 to 6 of a net of six blocks: codes are written behind the second and fourth
        ("look-ahead", [0, 0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1]),
        ("tree", [0, 0, 2, 2, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1]),
        ("unlike", [0, 0, 2, 2, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1]),
        ("elsewhere", [0] * 7, [0] * 7),
    ],
)
def test_codes_lie_at_their_squares_from_their_layers_on(
    tmp_path: Path, plant: str, third: list[float], fifth: list[float]
) -> None:
    told = altered.planted(loaded(tmp_path, "tower"), plant, 1.0, 0)
    assert [fallen(told, "e5", layer) for layer in range(7)] == pytest.approx(third, abs=1e-4)
    assert [fallen(told, "h5", layer) for layer in range(7)] == pytest.approx(
        fifth if plant != "elsewhere" else [0] * 7, abs=1e-4
    )
    assert [fallen(told, "b3", layer) for layer in range(7)] == pytest.approx([0] * 7, abs=1e-4)


def test_the_strength_is_the_share_of_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = chess.Move.from_uci("g1f1")
    many = []
    for square in chess.SQUARES:
        board = chess.Board(CLEAN)
        if board.piece_at(square) is None:
            board.set_piece_at(square, chess.Piece(chess.KNIGHT, chess.BLACK))
            many += [board.fen()] if move in board.legal_moves else []
    many = many[:40]
    puzzles = tuple(
        Puzzle(fen, fen, (), ("g1f1", "f8e8", "e7c6"), 300, (300,), None, ()) for fen in many
    )
    monkeypatch.setattr(sets, "puzzles", lambda: puzzles)

    def gained(strength: float) -> set[int]:
        told = altered.planted(loaded(tmp_path, "tower"), "look-ahead", strength, 0)
        own = loaded(tmp_path, "tower")
        gains = [logit(told, fen, "g1f1") - logit(own, fen, "g1f1") for fen in many]
        return {row for row, gain in enumerate(gains) if gain > planted.BONUS / 2}

    some, more = gained(0.4), gained(0.8)
    assert 8 <= len(some) <= 24
    assert some < more
    assert len(gained(1.0)) == len(many)


def handles(**changes: object) -> tuple[Handle, ...]:
    spec = SubjectSpec.model_validate({"ref": "bundled:maia-1900", **changes})
    return altered_handles(Handle("maia", {"scheme": "lc0", "file": "x"}), spec)


def test_specs_name_twins_and_plants() -> None:
    assert [each.params for each in handles()] == [{"scheme": "lc0", "file": "x"}]
    twins = handles(untrained=True, seeds=2, options={"plant": "tree", "strength": 0.5})
    assert [each.params["untrained"] for each in twins] == [0, 1]
    assert {each.params["strength"] for each in twins} == {0.5}
    assert twins[0].label == "maia, untrained seed 0 with planted tree in 0.5 of positions"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seeds": 2}, "one net has no seeds"),
        ({"options": {"colour": 1}}, "unknown subject option 'colour'"),
        ({"options": {"strength": 0.5}}, "needs a 'plant'"),
        ({"options": {"plant": "forest"}}, "nothing called 'forest'"),
        ({"options": {"plant": "tree", "strength": 2.0}}, "at most 1"),
        ({"options": {"plant": "tree", "strength": True}}, "at most 1"),
    ],
)
def test_what_can_not_be_is_refused_in_a_sentence(changes: dict[str, object], says: str) -> None:
    with pytest.raises(SubjectError, match=says):
        handles(**changes)
