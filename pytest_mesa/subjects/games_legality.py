"""How often the two-game decoder's most likely move is legal, in games that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pytest_mesa.subjects.games_decoder import GamesDecoder, GamesSubject
from pytest_mesa.subjects.games_reading import Reading
from pytest_mesa.subjects.games_recipes import GamesRecipe, Source
from pytest_mesa.tasks.games import notation, rules, tokens
from pytest_mesa.tasks.games.archive import Archive, frozen
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.rules import State
from pytest_mesa.tasks.games.tokens import Tag

GAMES = 100  # a hundred games of 36 plies: a standard error near half a per cent


@dataclass(frozen=True, slots=True)
class Rate:
    """The share of legal moves over the plies that count, and at each ply from the first."""

    overall: float
    by_ply: tuple[float, ...]
    positions: int


def legal_rates(decoder: GamesDecoder, recipe: GamesRecipe, games: int = GAMES) -> dict[str, Rate]:
    """Each source's rate on up to ``games`` unseen games, by the source's game.

    The games' own moves lead to each position; there the net's most likely move is taken token
    by token, over the whole vocabulary, and the rules are asked.

    Raises:
        ExtraError: the rules' libraries aren't installed.
    """
    subject = GamesSubject("measured", decoder)
    try:
        return {source.game: legal_rate(subject, source, games) for source in recipe.sources}
    finally:
        decoder.requires_grad_(True).train()


def legal_rate(subject: GamesSubject, source: Source, games: int = GAMES) -> Rate:
    """One source's rate."""
    tag = Tag[source.game.upper().replace("-", "_")]
    _, unseen = frozen(source.archive).split()
    archive = unseen.select(np.arange(min(games, len(unseen))))
    positions = walk(Name(source.game), archive, source.plies)
    moves = greedy_moves(subject, tag, archive, [(p.game, p.ply) for p in positions])
    legal = [move in p.state.actions for p, move in zip(positions, moves, strict=True)]
    by_ply: dict[int, list[bool]] = {}
    for position, right in zip(positions, legal, strict=True):
        by_ply.setdefault(position.ply, []).append(right)
    counted = [right for ply in by_ply if ply < source.measured for right in by_ply[ply]]
    return Rate(
        round(float(np.mean(counted)), 4),
        tuple(round(float(np.mean(by_ply[ply])), 4) for ply in sorted(by_ply)),
        len(counted),
    )


@dataclass(frozen=True, slots=True)
class Reached:
    """A position of an archive's game, before its move number ``ply`` (from 0)."""

    game: int
    ply: int
    state: State


def walk(name: Name, archive: Archive, plies: int) -> list[Reached]:
    """Every position, with a move to come, of the games' first ``plies`` moves."""
    reached = []
    for number, game in enumerate(archive):
        state = rules.game(name).initial()
        for ply, move in enumerate(game[:plies].tolist()):
            reached.append(Reached(number, ply, state))
            state = state.apply(notation.text(name, move))
    return reached


def greedy_moves(
    subject: GamesSubject, tag: Tag, archive: Archive, positions: Sequence[tuple[int, int]]
) -> list[str | None]:
    """The net's most likely move at each (game, ply); None where its tokens are no move."""
    plies = 1 + max(ply for _, ply in positions)
    ids = torch.from_numpy(tokens.encode(tag, archive, plies))
    starts = tokens.move_starts(tag, archive, plies)
    asked: list[list[int]] = [[] for _ in range(len(archive))]  # places in `positions`
    for place, (number, _) in enumerate(positions):
        asked[number].append(place)
    found: list[str | None] = [None] * len(positions)
    first = 0
    for reading in subject.read(ids):
        rows = asked[first : first + len(reading.logits)]
        first += len(rows)
        ends = [[int(starts[positions[place]]) - 1 for place in row] for row in rows]
        for row, said in zip(rows, _said(reading, tag, ends), strict=True):
            for place, move in zip(row, said, strict=False):  # rows are padded
                found[place] = tokens.decode(tag, move)
    return found


def _said(reading: Reading, tag: Tag, ends: Sequence[Sequence[int]]) -> list[list[list[int]]]:
    """The tokens that a net says for a move after each of the places of each game.

    A promotion's is always asked for; `tokens.decode` knows where it counts.
    """
    most = max(1, *map(len, ends))
    at = torch.tensor([[*row, *[0] * (most - len(row))] for row in ends])
    said = [reading.logits.take_along_dim(at[..., None], 1).argmax(-1)]
    if tag is Tag.CHESS:
        parents, length = at, reading.logits.shape[1]
        for token in range(2):
            said.append(reading.after(parents, said[-1]).argmax(-1))
            parents = length + token * most + torch.arange(most).repeat(len(at), 1)
    moves: list[list[list[int]]] = torch.stack(said, -1).tolist()
    return moves
