"""Players of chess: first choices, tree search over a net of known mind, searches by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import chess
import numpy as np
import pytest
import torch

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects.chess_players import Giving, Policy, Searching, player_of
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.net import Lc0Output
from pytest_mesa.subjects.puct import Node, Puct
from pytest_mesa.subjects.schemes import handles
from pytest_mesa.subjects.search_handles import without_gifts


class Mind:
    """Stands in for a net: all moves alike, and a board worth its material to who moves."""

    def legal(self, board: chess.Board) -> dict[chess.Move, int]:
        return {move: index for index, move in enumerate(board.legal_moves)}

    def outputs(self, boards: Sequence[chess.Board]) -> Iterator[Lc0Output]:
        values = [np.tanh(self.lead(board) / 5) for board in boards]
        policy = torch.zeros(len(boards), 1858)
        yield Lc0Output(policy, torch.tensor(values), None, None)

    def lead(self, board: chess.Board) -> float:
        worth = {1: 1, 2: 3, 3: 3, 4: 5, 5: 9, 6: 0}
        return sum(
            worth[piece.piece_type] * (1 if piece.color == board.turn else -1)
            for piece in board.piece_map().values()
        )

    def best_moves(self, boards: Sequence[chess.Board]) -> list[chess.Move | None]:
        return [next(iter(board.legal_moves), None) for board in boards]


MATE_IN_ONE = "6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1"
HANGING = "k7/8/8/3q4/4P3/8/8/K7 w - - 0 1"


def puct(visits: int) -> Puct:
    net: Any = Mind()
    return Puct(net, visits)


def test_a_tree_search_finds_what_its_net_is_worth_and_mates() -> None:
    boards = [chess.Board(MATE_IN_ONE), chess.Board(HANGING)]
    before = [board.fen() for board in boards]
    found = puct(120).choose(boards)
    assert [move.uci() for move in found] == ["a1a8", "e4d5"]
    assert [board.fen() for board in boards] == before


def test_games_searched_together_are_searched_as_alone() -> None:
    boards = [chess.Board(MATE_IN_ONE), chess.Board(HANGING), chess.Board()]
    together = puct(40).choose(boards)
    assert together == [puct(40).choose([board])[0] for board in boards]


def test_the_likelier_move_is_tried_first_and_the_better_one_more_often() -> None:
    one, other = chess.Move.from_uci("e2e4"), chess.Move.from_uci("d2d4")
    root = Node(1.0, visits=1, children={one: Node(0.9), other: Node(0.1)})
    assert root.select()[0] == one
    root.children[one].visits, root.children[one].total = 20, -18.0
    root.children[other].visits, root.children[other].total = 5, 4.0
    root.visits = 26
    assert root.select()[0] == other


def test_a_policy_has_nothing_to_choose_where_the_game_is_over() -> None:
    net: Any = Mind()
    over = chess.Board("k7/1Q6/1K6/8/8/8/8/8 b - - 0 1")
    with pytest.raises(SubjectError, match="over"):
        Policy(net).choose([over])


def test_a_player_that_gives_moves_away_gives_its_share() -> None:
    boards = [chess.Board(HANGING)] * 120
    plain = Searching(60).seated((1,))
    some = Giving(plain, 0.5, np.random.default_rng(0)).choose(boards)
    share = float(np.mean([move.uci() != "e4d5" for move in some]))
    assert 0.25 <= share <= 0.6  # now and then the gift is the very move
    none = Giving(plain, 0.0, np.random.default_rng(0)).choose(boards[:5])
    assert {move.uci() for move in none} == {"e4d5"}


def test_a_search_is_named_by_its_nodes() -> None:
    (handle,) = handles(SubjectSpec(ref="search:128"))
    assert handle.params == {"scheme": "search", "nodes": 128}
    (helped,) = handles(SubjectSpec(ref="search:128", options={"gifts": 0.4}))
    assert without_gifts(helped)[0].params == handle.params
    assert without_gifts(helped)[1] == 0.4
    assert without_gifts(handle)[1] == 0.0


@pytest.mark.parametrize(
    ("ref", "more", "says"),
    [
        ("search:deep", {}, "as search:128"),
        ("search:1", {}, "as search:128"),
        ("search:64", {"seeds": 2}, "neither seeds"),
        ("search:64", {"options": {"depth": 2}}, "a search has gifts"),
        ("search:64", {"options": {"gifts": 1.5}}, "a share"),
        ("search:64", {"options": {"gifts": True}}, "a share"),
    ],
)
def test_other_searches_are_refused(ref: str, more: dict[str, Any], says: str) -> None:
    with pytest.raises(SubjectError, match=says):
        handles(SubjectSpec(ref=ref, **more))


def test_what_plays_no_chess_is_no_player() -> None:
    with pytest.raises(SubjectError, match="chess nets and searches"):
        player_of(object(), (0,))
