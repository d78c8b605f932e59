"""Games read once: whatever is said at any of their tokens is what a run of its own would say."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from pytest_mesa.instruments.lens import readout_of
from pytest_mesa.subjects.games_decoder import TOGETHER, GamesSubject, untrained
from pytest_mesa.subjects.games_legality import greedy_moves
from pytest_mesa.subjects.games_reading import Reading
from pytest_mesa.subjects.games_recipes import TWO_GAMES
from pytest_mesa.tasks.games import tokens
from pytest_mesa.tasks.games.archive import frozen
from pytest_mesa.tasks.games.tokens import Tag

NET = untrained(dataclasses.replace(TWO_GAMES, d_model=32, layers=2, heads=2, d_mlp=32), 0).eval()
IDS = torch.randint(5, tokens.VOCABULARY, (3, 9), generator=torch.Generator().manual_seed(0))


def alone(said: list[int]) -> torch.Tensor:
    """The next token's logits after one sequence, run by itself."""
    with torch.no_grad():
        logits: torch.Tensor = NET(torch.tensor([said]))
    return logits[0, -1]


def test_branches_are_run_as_if_alone() -> None:
    reading = Reading(NET.model, IDS)
    torch.testing.assert_close(reading.logits[1, 4], alone(IDS[1, :5].tolist()))
    parents = torch.tensor([[0, 3, 3, 8], [2, 2, 7, 1], [8, 5, 4, 0]])
    first = torch.tensor([[9, 30, 31, 7], [40, 6, 6, 50], [12, 13, 14, 15]])
    one = reading.after(parents, first)
    # The second branch again, then one that goes on from the second and one from the last.
    later = torch.tensor([[3, 10, 12]] * 3)
    second = torch.tensor([[31, 20, 21]] * 3)
    two = reading.after(later, second)
    for game in range(3):
        told = [
            [*IDS[game, : parents[game, b] + 1].tolist(), int(first[game, b])] for b in range(4)
        ]
        for branch in range(4):
            torch.testing.assert_close(one[game, branch], alone(told[branch]))
        torch.testing.assert_close(two[game, 0], alone([*IDS[game, :4].tolist(), 31]))
        torch.testing.assert_close(two[game, 1], alone([*told[1], 20]))
        torch.testing.assert_close(two[game, 2], alone([*told[3], 21]))


def test_greedy_moves_are_those_said_token_by_token() -> None:
    """More games than are read at once, asked in any order and some not at all."""
    archive = frozen("chess").select(np.arange(TOGETHER + 9))
    at = [(number, ply) for ply in (7, 3, 11) for number in range(len(archive)) if number % 5]
    moves = greedy_moves(GamesSubject("untrained", NET), Tag.CHESS, archive, at)
    ids = torch.from_numpy(tokens.encode(Tag.CHESS, archive, 12))
    starts = tokens.move_starts(Tag.CHESS, archive, 12)
    for place in (0, 40, 59, 60, 61, 130, 170):
        number, ply = at[place]
        told = ids[number, : starts[number, ply]].tolist()
        for _ in range(3):
            told.append(int(alone(told).argmax()))
        assert moves[place] == tokens.decode(Tag.CHESS, told[-3:])


def test_the_readout_of_single_positions_is_the_end_of_a_run() -> None:
    subject = GamesSubject("untrained", NET)
    streams = subject.stream.capture(IDS)[-1].flatten(0, 1)
    torch.testing.assert_close(subject.readout(streams), subject.logits(IDS).flatten(0, 1))
    torch.testing.assert_close(readout_of(subject.stream)(streams), subject.readout(streams))
