"""Can the third ply's square be read from the position alone, beyond what is plain to see?

A linear probe marks squares one by one, from the net's stream at that square, from an untrained
twin's, or from static features of the square. The score is the share of matched squares that
the true target is ranked above. What is decodable need not be used, so this decides nothing; it
stands beside the causal result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chess
import numpy as np
import torch
from torch import Tensor

from pytest_mesa.experiments.lookahead_cells import share_beaten
from pytest_mesa.experiments.lookahead_operation import required
from pytest_mesa.experiments.lookahead_sites import chosen_sites
from pytest_mesa.instruments.subspace import ridge
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.games.line_squares import LineSites
from pytest_mesa.verdicts.confidence import confidence_sequence

if TYPE_CHECKING:
    from jaxtyping import Float

STATIC = "static"
WORTH = {None: 0, 1: 1, 2: 3, 3: 3, 4: 5, 5: 9, 6: 10}  # of a piece by its kind, in pawns
TOGETHER = 256  # boards whose streams are held at once

Features = Callable[[Sequence[LineSites]], "Float[Tensor, 'layer batch 64 feature']"]


def probe(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Half of the positions fit, a sixth chooses a layer, a third is measured."""
    *own, chosen = inputs
    sites = [each[0] for part in chosen_sites(params, chosen).values() for each in part]
    order = np.random.default_rng([params["seed"], len(sites)]).permutation(len(sites))
    mixed = [sites[number] for number in order.tolist()]
    fit, choose = len(mixed) // 2, len(mixed) // 6
    parts = mixed[:fit], mixed[fit : fit + choose], mixed[fit + choose :]
    if not all(parts):
        return {"detail": {"probe": {"n": 0}}}
    sources: dict[str, Features] = {
        "net": streams_of(load(params["subject"], tuple(own), Lc0Subject)),
        STATIC: lambda given: static_features(given)[None],
    }
    if params["twin"] is not None:
        sources["untrained"] = streams_of(load(params["twin"], tuple(own), Lc0Subject))
    found: dict[str, Any] = {"n": len(parts[2])}
    ranked: dict[str, list[float]] = {}
    for name, features in sources.items():
        layer, ranked[name] = fitted(features, *parts)
        bounds = confidence_sequence(ranked[name], params["alpha"]).final
        found[name] = {
            "mean": round(float(np.mean(ranked[name])), 4),
            "bounds": [round(bounds.lower, 4), round(bounds.upper, 4)],
            **({} if name == STATIC else {"layer": layer + 1}),
        }
    for name in ranked.keys() - {"net"}:
        lead = np.subtract(ranked["net"], ranked[name]).tolist()
        bounds = confidence_sequence(lead, params["alpha"], -1.0, 1.0).final
        found[f"lead over {name}"] = [round(bounds.lower, 4), round(bounds.upper, 4)]
    return {"detail": {"probe": found}}


def fitted(
    features: Features,
    fit: Sequence[LineSites],
    choose: Sequence[LineSites],
    measure: Sequence[LineSites],
) -> tuple[int, list[float]]:
    """The best layer's place, and its scores on the measured positions."""
    known, tried, fresh = features(fit), features(choose), features(measure)
    maps = [ridge(*marked(layer, fit)) for layer in known]
    scores = [
        float(np.mean(ranks(layer @ slope + bias, choose)))
        for layer, (slope, bias) in zip(tried, maps, strict=True)
    ]
    best = int(np.argmax(scores))
    slope, bias = maps[best]
    return best, ranks(fresh[best] @ slope + bias, measure)


def marked(
    features: Float[Tensor, "batch 64 feature"], sites: Sequence[LineSites]
) -> tuple[Float[Tensor, "row feature"], Float[Tensor, "row 1"]]:
    """Targets of the third ply marked 1, and their matched squares 0: what is alike teaches."""
    rows, marks = [], []
    for row, each in enumerate(sites):
        third = required(each, 3)
        at = [third.square, *third.matched]
        rows.append(features[row, at])
        marks += [1.0] + [0.0] * len(third.matched)
    return torch.cat(rows), torch.tensor(marks)[:, None]


def ranks(scores: Float[Tensor, "batch 64 1"], sites: Sequence[LineSites]) -> list[float]:
    """Per position, the share of matched squares that the target is scored above."""
    found = []
    for row, each in zip(scores[..., 0].double().numpy(), sites, strict=True):
        third = required(each, 3)
        found.append(float(share_beaten(row[third.square], row[list(third.matched)])))
    return found


def streams_of(subject: Lc0Subject) -> Features:
    """A net's stream behind the board itself, with squares as the board has them."""

    def features(sites: Sequence[LineSites]) -> Float[Tensor, "layer batch 64 d_model"]:
        found = []
        for start in range(0, len(sites), TOGETHER):
            boards = [chess.Board(each.puzzle.fen) for each in sites[start : start + TOGETHER]]
            seen = subject.stream.capture(subject.planes(boards))[1:]
            order = [[subject.square(board, s) for s in chess.SQUARES] for board in boards]
            index = torch.tensor(order)[None, :, :, None].expand_as(seen)
            found.append(seen.gather(2, index))
        return torch.cat(found, dim=1)

    return features


def static_features(sites: Sequence[LineSites]) -> Float[Tensor, "batch 64 feature"]:
    """What a player sees of each square before looking ahead."""
    return torch.tensor(
        [
            [_static(board, square) for square in chess.SQUARES]
            for board in (chess.Board(each.puzzle.fen) for each in sites)
        ]
    )


def _static(board: chess.Board, square: int) -> list[float]:
    """Who stands there, who attacks it, what taking there wins at once, and where it lies.

    Ranks are seen from the mover's side.
    """
    mover, piece = board.turn, board.piece_at(square)
    held = [0.0] * 12
    if piece is not None:
        held[piece.piece_type - 1 + 6 * (piece.color != mover)] = 1.0
    worth = WORTH[None if piece is None else piece.piece_type]
    sides = []
    for side in (mover, not mover):
        attackers = [WORTH[board.piece_type_at(s)] for s in board.attackers(side, square)]
        sides.append((len(attackers), min(attackers, default=0)))
    (ours, cheapest), (theirs, _) = sides
    takes = piece is not None and piece.color != mover and ours > 0
    gain = worth - (cheapest if theirs else 0) if takes else 0
    rank = chess.square_rank(square if mover else chess.square_mirror(square))
    centre = max(abs(2 * chess.square_file(square) - 7), abs(2 * rank - 7))
    kings = [
        float(chess.square_distance(square, king)) if (king := board.king(side)) is not None else 0
        for side in (mover, not mover)
    ]
    numbers = (worth, ours, theirs, ours > 0, theirs > 0, gain, gain > 0, rank, centre, *kings)
    return held + [float(number) for number in numbers]
