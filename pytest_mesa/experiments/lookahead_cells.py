"""The work of the kind ``look-ahead`` on chess nets, from effects to scores.

All scores are shares of matched comparisons that the future square wins, ties half: 0.5 where
it is a square like others. Layers are chosen on each stratum's first positions and everything
is measured on the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chess
import numpy as np

from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.games import sets
from pytest_mesa.verdicts.confidence import confidence_sequence

if TYPE_CHECKING:
    from jaxtyping import Float

COMPETENCE_STREAM = 0x736F756E  # apart from other uses of the seed
PLACEBO = "placebo"  # the nearest matched square taken for the future one

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile cell's rows, parted into those that choose and those that are measured."""

    layers: tuple[int, ...]
    choose: Mapping[str, Sequence[Row]]
    measure: Mapping[str, Sequence[Row]]

    @classmethod
    def of(cls, payload: Mapping[str, Any], choose: int, moved: float) -> Profile:
        """Keep the positions whose corruption moves the choice; the split is before that."""

        def kept(rows: Sequence[Row]) -> list[Row]:
            return [row for row in rows if row["fall"] >= moved * row["spread"]]

        rows = payload["rows"]
        return cls(
            tuple(payload["layers"]),
            {name: kept(each[:choose]) for name, each in rows.items()},
            {name: kept(each[choose:]) for name, each in rows.items()},
        )

    def best_layer(self, ply: str, start: int = 0) -> int:
        """The place of the layer, from ``start`` on, with the highest mean on choosing rows."""
        found = [wins(row, ply) for rows in self.choose.values() for row in rows if has(row, ply)]
        if not found:
            return start
        return start + int(np.mean(found, axis=0)[start:].argmax())


def has(row: Row, ply: str) -> bool:
    """Whether a position has that future with a matched square to hold it against."""
    source, least = ("3", 3) if ply == PLACEBO else (ply, 2)
    return len(row["effects"].get(source, ())) >= least


def parted(row: Row, ply: str) -> tuple[Float[np.ndarray, " layer"], Float[np.ndarray, "m layer"]]:
    """Effects at the future square and at its matched squares."""
    effects = np.array(row["effects"]["3" if ply == PLACEBO else ply])
    return (effects[1], effects[2:]) if ply == PLACEBO else (effects[0], effects[1:])


def wins(row: Row, ply: str) -> Float[np.ndarray, " layer"]:
    """At each layer, the share of matched squares that the future square outdoes."""
    future, matched = parted(row, ply)
    return share_beaten(future, matched)


def share_beaten(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of others, along their first axis, below ``own``; ties count half."""
    return np.asarray(((own > others) + 0.5 * (own == others)).mean(0))


def centre(effects: Float[np.ndarray, "*square layer"]) -> Float[np.ndarray, " *square"]:
    """The mean place of a layer, weighted by effects above 0; the middle where there are none."""
    weight = np.maximum(effects, 0.0)
    total = weight.sum(-1)
    places = np.arange(effects.shape[-1])
    found = (weight * places).sum(-1) / np.where(total > 0, total, 1.0)
    return np.asarray(np.where(total > 0, found, places.mean()))


def lag_wins(row: Row) -> float:
    """The share of pairs of matched squares whose lag the two futures' lag exceeds.

    A lag is by how many layers the effect at the fifth ply's square comes after that at the
    third's. Matched pairs stand as far from the first move and from what changed, which sets
    when anything at all can reach them.
    """
    (third, near), (fifth, far) = parted(row, "3"), parted(row, "5")
    lags = (centre(far)[None, :] - centre(near)[:, None]).ravel()
    return float(share_beaten(np.asarray(centre(fifth) - centre(third)), lags))


def aspects(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """How often the third ply's square outdoes a matched one, stratum by stratum."""
    payload = inputs[-1].payload
    profile = Profile.of(payload, params["choose"], params["moved"])
    ply = params["ply"]
    place = profile.best_layer(ply)
    strata, detail = [], {}
    for name, rows in profile.measure.items():
        used = [row for row in rows if has(row, ply)]
        scores = [float(wins(row, ply)[place]) for row in used]
        detail[name] = described(used, scores, ply)
        if scores:
            strata.append(stratum(name, scores))
    about = {"layer": profile.layers[place], "strata": detail}
    return {
        "strata": strata,
        "weights_sha": payload["weights_sha"],
        "detail": {"look_ahead": about | {"profile": curves(profile)}},
    }


def described(rows: Sequence[Row], scores: Sequence[float], ply: str) -> dict[str, Any]:
    """A stratum in numbers; scores also by whether the net itself plays the line's first move."""
    found: dict[str, Any] = {"n": len(rows)}
    for name, plays in (("where_played", True), ("where_not", False)):
        part = [score for row, score in zip(rows, scores, strict=True) if row["plays"] is plays]
        found[name] = {"n": len(part), **({"mean": rounded(part)} if part else {})}
    if rows:
        found["matched_squares"] = rounded([len(parted(row, ply)[1]) for row in rows])
    return found


def curves(profile: Profile) -> dict[str, Any]:
    """Over all measured positions: score and effect (nats) of futures and matched, by layer."""
    found: dict[str, Any] = {"layers": list(profile.layers)}
    for ply in ("3", "5"):
        rows = [row for rows in profile.measure.values() for row in rows if has(row, ply)]
        if rows:
            parts = [parted(row, ply) for row in rows]
            found[f"ply-{ply}"] = {
                "n": len(rows),
                "score": np.mean([wins(row, ply) for row in rows], axis=0).round(4).tolist(),
                "future": np.mean([f for f, _ in parts], axis=0).round(4).tolist(),
                "matched": np.mean([m.mean(0) for _, m in parts], axis=0).round(4).tolist(),
            }
    return found


def deep_rows(rows: Mapping[str, Sequence[Row]]) -> Iterator[Row]:
    """Positions of all strata that have both futures, in turn, so that no stratum comes first."""
    longest = max((len(each) for each in rows.values()), default=0)
    for index in range(longest):
        for each in rows.values():
            if index < len(each) and has(each[index], "3") and has(each[index], "5"):
                yield each[index]


def search(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Do both plies matter, and does the fifth come after the third?"""
    payload = inputs[-1].payload
    profile = Profile.of(payload, params["choose"], params["moved"])
    third = profile.best_layer("3")
    fifth = profile.best_layer("5", third)
    rows = list(deep_rows(profile.measure))
    found = {
        "third-ply": [float(wins(row, "3")[third]) for row in rows],
        "fifth-ply": [float(wins(row, "5")[fifth]) for row in rows],
        "later-layers": [lag_wins(row) for row in rows],
    }
    about = {
        "n": len(rows),
        "layers": {"3": profile.layers[third], "5": profile.layers[fifth]},
        "centre": {
            ply: rounded([centre(parted(row, ply)[0]) + profile.layers[0] for row in rows])
            for ply in ("3", "5")
            if rows
        },
    }
    return {
        "strata": [stratum(name, scores) for name, scores in found.items() if scores],
        "weights_sha": payload["weights_sha"],
        "detail": {"search": about | {"profile": curves(profile)}},
    }


def competence(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """1.0 for each unfiltered position in which the net's move is not refuted.

    ``unskilled`` is how often a random legal move is not.
    """
    subject = load(params["subject"], inputs, Lc0Subject)
    rng = np.random.default_rng([params["seed"], COMPETENCE_STREAM])
    judged = sets.unfiltered()
    drawn = [judged[i] for i in rng.permutation(len(judged))[: params["count"]]]
    given = subject.best_moves([past_board(each) for each in drawn])
    sound = [
        float(move is not None and move.uci() not in each.refuted())
        for each, move in zip(drawn, given, strict=True)
    ]
    legal = [1 - len(each.refuted()) / len(each.scores) for each in drawn]
    best = [float(m is not None and m.uci() == e.best) for e, m in zip(drawn, given, strict=True)]
    return {
        "competence": sound,
        "unskilled": float(np.mean(legal)),
        "weights_sha": subject.weights_sha,
        "detail": {"play": {"n": len(drawn), "sound": rounded(sound), "best": rounded(best)}},
    }


def past_board(position: sets.Position) -> chess.Board:
    """The position with the moves that led to it."""
    board = chess.Board(position.before)
    for move in position.history:
        board.push_uci(move)
    return board


def limit(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """The smallest planted share at which every stratum's lower bound lies beyond the edge.

    Inputs are, strength by strength, the parts of a planted twin.
    """
    per = len(inputs) // len(params["strengths"])
    tried, found = [], None
    for place, strength in enumerate(params["strengths"]):
        parts = inputs[place * per : (place + 1) * per]
        strata = [each for part in parts for each in part.payload["strata"]]
        lowers = [
            confidence_sequence(each["scores"], params["alpha"] / len(strata)).final.lower
            for each in strata
        ]
        bound = params["pick"]
        lower = max(lowers) if bound == "greatest" else min(lowers)
        seen = lower > params["edge"]
        tried.append({"strength": strength, "lower": round(lower, 4), "seen": seen})
        if seen and found is None:
            found = strength
    return {
        "detection_limit": found,
        "detail": {"spike_in": {"edge": params["edge"], "tried": tried}},
    }


def rounded(values: Sequence[float] | Sequence[int]) -> float:
    """Their mean, as records show it."""
    return round(float(np.mean(values)), 4)
