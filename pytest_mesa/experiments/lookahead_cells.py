"""The work of the kind ``look-ahead`` on chess nets, from effects to scores.

All scores are shares of matched comparisons that the future square wins, ties half: 0.5 where
it is a square like others. What is chosen (which corruptions count, layers, subspaces) is chosen
on each stratum's first positions, and everything is measured on the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
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
FALLS = 1.0  # nats by which a corruption lowers the first move's log-odds, to tell positions apart
PLACEBO = "placebo"  # the nearest matched square taken for the future one

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile cell's rows, parted into those that choose and those that are measured."""

    layers: tuple[int, ...]
    choose: Mapping[str, Sequence[Row]]
    measure: Mapping[str, Sequence[Row]]

    @classmethod
    def of(cls, payload: Mapping[str, Any], choose: int = 0) -> Profile:
        """Each stratum's first ``choose`` rows choose, at most a third of them."""
        rows = {name: (each, min(choose, len(each) // 3)) for name, each in payload["rows"].items()}
        return cls(
            tuple(payload["layers"]),
            {name: each[:end] for name, (each, end) in rows.items()},
            {name: each[end:] for name, (each, end) in rows.items()},
        )

    def best_layer(self, ply: str, start: int = 0) -> int:
        """The place of the layer, from ``start`` on, with the highest mean on choosing rows."""
        found = [wins(row, ply) for rows in self.choose.values() for row in rows]
        if not found:
            return start
        return start + int(np.mean(found, axis=0)[start:].argmax())


Parted = tuple["Float[np.ndarray, ' layer']", "Float[np.ndarray, 'm layer']"]


def parted(run: Row, ply: str) -> Parted | None:
    """How strong the effects are at the future square and at its matched squares, by layer.

    In either direction: what matters to the choice may also speak against the first move.

    For `PLACEBO`, at the nearest matched square and the others, None where there are none.
    """
    effects = np.abs(run["effects"]["3" if ply == PLACEBO else ply])
    own = 1 if ply == PLACEBO else 0
    return (effects[own], effects[own + 1 :]) if len(effects) > own + 1 else None


def parts_of(row: Row, ply: str) -> list[Parted]:
    """The same for all of a position's corruptions."""
    return [found for run in row["runs"] if (found := parted(run, ply)) is not None]


def wins(row: Row, ply: str) -> Float[np.ndarray, " layer"]:
    """At each layer, the share of matched squares that the future square outdoes."""
    return np.asarray(np.mean([share_beaten(*parts) for parts in parts_of(row, ply)], axis=0))


def overall(row: Row, ply: str) -> float:
    """The same with each square's effects averaged over the layers."""
    parts = parts_of(row, ply)
    return float(np.mean([share_beaten(f.mean(), m.mean(1)) for f, m in parts]))


def share_beaten(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of others, along their first axis, below ``own``; ties count half."""
    return np.asarray(((own > others) + 0.5 * (own == others)).mean(0))


def centre(effects: Float[np.ndarray, "*square layer"]) -> Float[np.ndarray, " *square"]:
    """The mean place of a layer, weighted by effects; the middle where there are none."""
    total = effects.sum(-1)
    places = np.arange(effects.shape[-1])
    found = (effects * places).sum(-1) / np.where(total > 0, total, 1.0)
    return np.asarray(np.where(total > 0, found, places.mean()))


def lag_wins(row: Row) -> float:
    """The share of pairs of matched squares whose lag the two futures' lag exceeds.

    A lag is by how many layers the effect at the fifth ply's square comes after that at the
    third's. Matched pairs stand as far from the first move and from what changed, which sets
    when anything at all can reach them.
    """
    shares = []
    for (third, near), (fifth, far) in zip(parts_of(row, "3"), parts_of(row, "5"), strict=True):
        lags = (centre(far)[None, :] - centre(near)[:, None]).ravel()
        shares.append(share_beaten(centre(fifth) - centre(third), lags))
    return float(np.mean(shares))


def aspects(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """How often the third ply's square outdoes a matched one, stratum by stratum.

    An effect is averaged over all layers, so nothing is chosen.
    """
    payload = inputs[-1].payload
    profile = Profile.of(payload)
    ply = params["ply"]
    used = {
        name: [row for row in rows if parts_of(row, ply)] for name, rows in profile.measure.items()
    }
    kinds: dict[str, list[Row]] = {}
    for row in chain.from_iterable(used.values()):
        kinds.setdefault(row["kind"], []).append(row)
    about = {
        "kinds": {name: described(rows, ply, params["alpha"]) for name, rows in kinds.items()},
        "profile": curves(profile, ("3",)),
    }
    return {
        "strata": [
            stratum(name, [overall(row, ply) for row in rows])
            for name, rows in used.items()
            if rows
        ],
        "weights_sha": payload["weights_sha"],
        "detail": {"look_ahead": about},
    }


def described(rows: Sequence[Row], ply: str, alpha: float) -> dict[str, Any]:
    """Positions of one kind; scores also by whether the net itself plays the first move."""
    scores = [overall(row, ply) for row in rows]
    bounds = confidence_sequence(scores, alpha).final
    found: dict[str, Any] = {
        "n": len(rows),
        "mean": rounded(scores),
        "bounds": [round(bounds.lower, 4), round(bounds.upper, 4)],
        "matched_squares": rounded([len(m) for row in rows for _, m in parts_of(row, ply)]),
    }
    scored = list(zip(rows, scores, strict=True))
    for name, part in (
        ("where_played", [s for row, s in scored if row["runs"][0]["plays"]]),
        ("where_not_played", [s for row, s in scored if not row["runs"][0]["plays"]]),
        ("where_choice_falls", [s for row, s in scored if row["runs"][0]["fall"] > FALLS]),
    ):
        found[name] = {"n": len(part), **({"mean": rounded(part)} if part else {})}
    return found


def curves(profile: Profile, plies: Sequence[str]) -> dict[str, Any]:
    """Over all measured positions: score and effect (nats) of futures and matched, by layer."""
    found: dict[str, Any] = {"layers": list(profile.layers)}
    rows = list(chain.from_iterable(profile.measure.values()))
    for ply in plies if rows else ():
        parts = [each for row in rows for each in parts_of(row, ply)]
        found[f"ply-{ply}"] = {
            "n": len(rows),
            "score": np.mean([wins(row, ply) for row in rows], axis=0).round(4).tolist(),
            "future": np.mean([f for f, _ in parts], axis=0).round(4).tolist(),
            "matched": np.mean([m.mean(0) for _, m in parts], axis=0).round(4).tolist(),
        }
    return found


def in_turn(rows: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Positions of all strata in turn, so that no stratum comes first."""
    rounds = zip_longest(*rows.values())
    return [row for each in rounds for row in each if row is not None]


def search(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Do both plies matter, and does the fifth come after the third?"""
    payload = inputs[-1].payload
    profile = Profile.of(payload, params["choose"])
    rows = in_turn(profile.measure)
    found = {
        "third-ply": [overall(row, "3") for row in rows],
        "fifth-ply": [overall(row, "5") for row in rows],
        "later-layers": [lag_wins(row) for row in rows],
    }
    about = {
        "n": len(rows),
        "centre": {
            ply: rounded([float(centre(f)) for row in rows for f, _ in parts_of(row, ply)])
            for ply in ("3", "5")
            if rows
        },
        "profile": curves(profile, ("3", "5")),
    }
    return {
        "strata": [stratum(name, scores) for name, scores in found.items() if scores],
        "weights_sha": payload["weights_sha"],
        "detail": {"search": about},
    }


def competence(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """1.0 for each unfiltered position in which the net's move is not refuted.

    Beside it, for the record: how often that holds of any legal move, and how often its move is
    the engine's best.
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
        "weights_sha": subject.weights_sha,
        "detail": {
            "play": {
                "n": len(drawn),
                "sound": rounded(sound),
                "best": rounded(best),
                "any_legal": rounded(legal),
            }
        },
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
