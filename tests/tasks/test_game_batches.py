"""Batches of positions: disjoint, halves apart by opening, twins told the same games."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from pytest_mesa.tasks.games import notation, rules
from pytest_mesa.tasks.games.archive import frozen
from pytest_mesa.tasks.games.batches import Position, Stretch, archive_sha, draw
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.fifteen import NUMBER_OF
from pytest_mesa.tasks.games.notation import Name

pytest.importorskip("pyspiel")

CHESS, GO = Stretch(Name.CHESS, 4, 7), Stretch(Name.GO, 6, 9)
SMALL = Stretch(Name.TIC_TAC_TOE, 2, 5), Stretch(Name.FIFTEEN, 2, 5)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_no_game_stands_twice_and_halves_share_no_opening() -> None:
    batches = draw((CHESS, GO), 4, 3, 2, rng())
    for setting, plies in ((0, 2), (1, 1)):
        numbers = [sorted({p.number for p in half[setting]}) for batch in batches for half in batch]
        assert all(len(each) == 3 for each in numbers)
        assert len(set(chain.from_iterable(numbers))) == 4 * 2 * 3
        openings = [
            {p.moves[:plies] for batch in batches for p in batch[half][setting]} for half in (0, 1)
        ]
        assert not openings[0] & openings[1]


def test_all_games_of_a_half_are_asked_at_the_same_plies() -> None:
    for batch in draw((CHESS, GO), 3, 3, 2, rng()):
        for half in batch:
            for setting, stretch in enumerate((CHESS, GO)):
                at = {(p.slot, len(p.moves)) for p in half[setting]}
                assert len(at) == 2
                assert all(stretch.first <= ply <= stretch.last for _, ply in at)


def test_positions_are_those_of_the_frozen_games() -> None:
    games = list(frozen("chess"))
    for position in draw((CHESS, GO), 2, 2, 2, rng())[1][0][0]:
        told = [notation.text(Name.CHESS, int(m)) for m in games[position.number]]
        ply = len(position.moves)
        assert (*position.moves, position.next) == tuple(told[: ply + 1])
        assert position.legal == rules.game(Name.CHESS).after(position.moves).legal
        assert Position.from_json(position.to_json()) == position


def test_twins_are_told_the_same_games() -> None:
    names = {notation.text(Name.TIC_TAC_TOE, c): str(n) for c, n in enumerate(NUMBER_OF)}
    for batch in draw(SMALL, 3, 2, 2, rng(), twins=True):
        for cells, numbers in batch:
            for one, other in zip(cells, numbers, strict=True):
                assert other.moves == tuple(names[move] for move in one.moves)
                assert set(other.legal) == {names[move] for move in one.legal}


def test_settings_of_one_archive_are_told_different_games_unless_twins() -> None:
    for batch in draw(SMALL, 3, 2, 2, rng()):
        for one, other in batch:
            assert not {p.number for p in one} & {p.number for p in other}


@pytest.mark.parametrize(
    ("stretches", "batches", "twins", "said"),
    [
        ((CHESS, GO), 2, True, "chess and go are no twins"),
        ((Stretch(Name.GO, 6, 59), CHESS), 300, False, "too few frozen games of go"),
        ((Stretch(Name.GO, 6, 6), CHESS), 2, False, "plies 6 to 6 of go can't be parted in 2"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    stretches: tuple[Stretch, Stretch], batches: int, twins: bool, said: str
) -> None:
    with pytest.raises(GamesError, match=said):
        draw(stretches, batches, 2, 2, rng(), twins=twins)


def test_further_games_are_dealt_when_the_others_are_spent() -> None:
    spent = len(frozen("tic-tac-toe"))
    few, many = (draw(SMALL, count, 60, 2, rng(), twins=True) for count in (10, 60))
    assert many[:10] == few
    numbers = [p.number for batch in many for half in batch for p in half[0] if p.slot == 0]
    assert max(n for n in numbers[: 10 * 120]) < spent < max(numbers)
    assert len(set(numbers)) == len(numbers)
    further = {p for batch in many[50:] for half in batch for p in half[0] if p.number >= spent}
    games = list(frozen("tic-tac-toe-further"))
    for position in list(further)[:20]:
        told = [notation.text(Name.TIC_TAC_TOE, int(m)) for m in games[position.number - spent]]
        assert (*position.moves, position.next) == tuple(told[: len(position.moves) + 1])
    sides = [{p.moves[0] for batch in many for p in batch[half][0] if p.moves} for half in (0, 1)]
    assert not sides[0] & sides[1]


def test_both_notations_of_one_game_have_one_archive() -> None:
    assert archive_sha(Name.FIFTEEN) == archive_sha(Name.TIC_TAC_TOE) != archive_sha(Name.GO)
