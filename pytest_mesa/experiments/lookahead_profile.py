"""What the squares of later moves do to a chess net's choice, layer by layer.

For each position the run on a corrupted twin, in which the line fails, is patched into the clean
run at one square and one layer. The effect is how far the first move's log-odds fall (nats).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chess
import numpy as np
import torch
from torch import Tensor

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.line_squares import PLIES, LineSites, line_sites

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

STREAM = 0x6C6F6F6B  # apart from other uses of the seed
TOGETHER, ROWS = 32, 256  # positions captured at once, patched runs at once


def measured_sites(
    strata: Mapping[str, Sequence[str]],
    counts: Mapping[str, int],
    matched: int,
    seed: int,
    plies: Sequence[int] = PLIES,
) -> dict[str, list[tuple[LineSites, ...]]]:
    """Positions by stratum, in the registered order, as many of each as asked for and there.

    Which positions serve is a matter of the boards alone: one in which each of these plies ends
    on a square of its own that has a matched one. A position comes with all corruptions that
    leave one.
    """
    puzzles = sets.puzzles()
    order = np.random.default_rng([seed, STREAM]).permutation(len(puzzles)).tolist()
    of = {name: stratum for stratum, names in strata.items() for name in names}
    found: dict[str, list[tuple[LineSites, ...]]] = {stratum: [] for stratum in strata}
    for puzzle in (puzzles[number] for number in order):
        stratum = of.get(puzzle.stratum)
        if stratum is None or len(found[stratum]) >= counts[stratum]:
            continue
        tried = (line_sites(puzzle, each, matched, plies) for each in puzzle.corruptions)
        if served := tuple(sites for sites in tried if _serves(sites, plies)):
            found[stratum].append(served)
    return found


def _serves(sites: LineSites, plies: Sequence[int]) -> bool:
    futures = [sites.future(ply) for ply in plies]
    return all(future is not None and bool(future.matched) for future in futures)


@dataclass(frozen=True)
class Batch:
    """Positions as a net sees them, clean and corrupted, with its streams on both.

    ``first`` is the index of the line's first move, ``legal`` marks the legal moves.
    """

    sites: Sequence[LineSites]
    boards: Sequence[chess.Board]
    clean: Float[Tensor, "layer batch 64 d_model"]
    corrupted: Float[Tensor, "layer batch 64 d_model"]
    first: Int[Tensor, " batch"]
    legal: Bool[Tensor, "batch 1858"]

    def log_odds(
        self, policy: Float[Tensor, "run 1858"], rows: Int[Tensor, " run"]
    ) -> Float[Tensor, " run"]:
        """Log-odds (nats) of each run's first move against all other legal ones."""
        first = self.first[rows, None]
        others = self.legal[rows].scatter(1, first, False)
        rest = policy.masked_fill(~others, -torch.inf).logsumexp(1)
        return policy.gather(1, first)[:, 0] - rest


def batches(subject: Lc0Subject, sites: Sequence[LineSites]) -> Iterator[Batch]:
    """The positions, `TOGETHER` at a time."""
    for start in range(0, len(sites), TOGETHER):
        part = sites[start : start + TOGETHER]
        # Both without history: a changed piece has none, and the clean run must not have more.
        boards = [chess.Board(each.puzzle.fen) for each in part]
        corrupted = [chess.Board(each.corruption.fen) for each in part]
        legal = torch.zeros(len(part), 1858, dtype=torch.bool)
        first = torch.zeros(len(part), dtype=torch.long)
        for row, (each, board) in enumerate(zip(part, boards, strict=True)):
            moves = subject.legal(board)
            legal[row, list(moves.values())] = True
            first[row] = moves[chess.Move.from_uci(each.puzzle.line[0])]
        capture = subject.stream.capture
        yield Batch(
            part,
            boards,
            capture(subject.planes(boards)),
            capture(subject.planes(corrupted)),
            first,
            legal,
        )


def patched(
    subject: Lc0Subject,
    batch: Batch,
    layer: int,
    rows: Int[Tensor, " run"],
    squares: Int[Tensor, " run"],
    donor: Float[Tensor, "run d_model"],
) -> Float[Tensor, " run"]:
    """Log-odds of each run's first move after one square's stream is replaced at a layer."""
    scores = []
    with torch.no_grad():
        for part in torch.arange(len(rows)).split(ROWS):
            here = batch.clean[layer][rows[part]]
            here[torch.arange(len(part)), squares[part]] = donor[part]
            policy = subject.stream.resume(here, layer).policy
            scores.append(batch.log_odds(policy, rows[part]))
    return torch.cat(scores)


def profile(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Effects at every layer behind the first, at the squares of later plies and their like.

    Layer 0 holds no more than the board around a square, and is left out.
    """
    subject = load(params["subject"], inputs, Lc0Subject)
    return {
        "weights_sha": subject.weights_sha,
        "layers": list(range(1, subject.stream.layers + 1)),
        "rows": {
            stratum: positions(subject, sites) for stratum, sites in chosen_sites(params).items()
        },
    }


def chosen_sites(params: Mapping[str, Json]) -> dict[str, list[tuple[LineSites, ...]]]:
    """The positions that a cell's parameters name."""
    told = (params[name] for name in ("strata", "counts", "matched", "seed", "plies"))
    return measured_sites(*told)


def positions(subject: Lc0Subject, sites: Sequence[tuple[LineSites, ...]]) -> list[dict[str, Any]]:
    """One record a position: its kind, and one run a corruption."""
    flat = [each for together in sites for each in together]
    runs = iter([run for batch in batches(subject, flat) for run in effects(subject, batch)])
    return [
        {
            "fen": together[0].puzzle.fen,
            "kind": together[0].puzzle.stratum,
            "runs": [next(runs) for _ in together],
        }
        for together in sites
    ]


def effects(subject: Lc0Subject, batch: Batch) -> list[dict[str, Any]]:
    """One record a corruption: what the net makes of it, and the effects at its squares.

    ``fall`` is by how much the first move's log-odds fall (nats) when the whole run is the
    corrupted one; ``plays`` whether the first move is the net's own.
    """
    every = torch.arange(len(batch.sites))
    with torch.no_grad():
        clean = subject.module.read(batch.clean[-1]).policy
        corrupted = subject.module.read(batch.corrupted[-1]).policy
    before = batch.log_odds(clean, every)
    fall = before - batch.log_odds(corrupted, every)
    masked = clean.masked_fill(~batch.legal, -torch.inf)
    plays = masked.argmax(1) == batch.first
    squares = [
        (row, subject.square(board, square))
        for row, (sites, board) in enumerate(zip(batch.sites, batch.boards, strict=True))
        for future in sites.futures
        for square in (future.square, *future.matched)
    ]
    at = torch.tensor(squares).T
    found = torch.stack(
        [
            before[at[0]]
            - patched(subject, batch, layer, at[0], at[1], batch.corrupted[layer][at[0], at[1]])
            for layer in range(1, subject.stream.layers + 1)
        ],
        dim=1,
    )
    taken = iter(found.double().numpy().round(6).tolist())
    return [
        {
            "fall": round(float(fall[row]), 6),
            "plays": bool(plays[row]),
            "effects": {
                str(future.ply): [next(taken) for _ in (future.square, *future.matched)]
                for future in sites.futures
            },
        }
        for row, sites in enumerate(batch.sites)
    ]
