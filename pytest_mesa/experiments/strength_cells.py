"""The work of the kind ``strength``: matches, ratings in one pool, the limit of detection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.experiments.ratings import rated
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.chess_players import Giving, Searching, player_of
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.puct import Puct
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.matches import Rules, openings, play
from pytest_mesa.verdicts.confidence import confidence_sequence

ONE, OTHER = 1, 2  # parts the draws of the two players

Payload = dict[str, Any]


def match(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """A subject against a search, or against its own first choice.

    Raises:
        GamesError: fewer even openings than pairs of games.
    """
    subject: Any = load(params["subject"], inputs)
    seed = params["seed"]
    rules = dict(params["games"])
    starts = openings(params["pairs"], rules.pop("even"), seed)
    if len(starts) < params["pairs"]:
        raise GamesError(
            f"{params['pairs']} pairs of games need as many even openings, and there are "
            f"{len(starts)}: register fewer, or let openings be less even"
        )
    one = player_of(subject, (seed, ONE))
    if params["visits"]:
        one = Puct(load(params["subject"], inputs, Lc0Subject), params["visits"])
    nodes = params["nodes"]
    other = Searching(nodes).seated((seed, OTHER)) if nodes else player_of(subject, (seed, OTHER))
    if params["gifts"]:
        other = Giving(other, params["gifts"], np.random.default_rng([seed, OTHER]))
    played = play(one.choose, other.choose, starts, Rules(**rules))
    return {
        **asdict(played),
        "one": _name(subject, params["visits"]),
        "other": f"{nodes} nodes" if nodes else "policy",
        "weights_sha": getattr(subject, "weights_sha", ""),
    }


def _name(subject: Any, visits: int | None) -> str:
    if isinstance(subject, Searching):
        return f"{subject.nodes} nodes"
    return f"tree search of {visits} visits" if visits else "policy"


def scored(_params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """A match's pairs as scores, and how its games went."""
    played = inputs[0].payload
    return {
        "strata": [stratum("points", played["scores"])],
        "weights_sha": played["weights_sha"],
        "detail": {"match": _about(played)},
    }


def _about(played: Mapping[str, Any]) -> Payload:
    scores = played["scores"]
    return {
        "players": f"{played['one']} against {played['other']}",
        "pairs": len(scores),
        "points": round(float(np.mean(scores)), 4),
        "ended": played["ended"],
        "plies": round(played["plies"], 1),
    }


def pool(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """Ratings on one scale, and the search that matches the policy."""
    played = [result.payload for result in inputs]
    ratings = rated(
        [(each["one"], each["other"], each["scores"]) for each in played],
        anchor="policy",
        rng=np.random.default_rng([params["seed"], 0x656C6F]),
    )
    budgets = {
        int(each["other"].split()[0]): float(np.mean(each["scores"]))
        for each in played
        if each["one"] == "policy" and each["other"].endswith("nodes")
    }
    return {
        "detail": {
            "pool": {
                "matches": [_about(each) for each in played],
                "ratings": ratings,
                "matched_by": matched_by(budgets),
            }
        }
    }


def matched_by(points: Mapping[int, float]) -> str:
    """The budget at which the search holds the policy even, from the policy's points by nodes.

    Between two budgets the points are taken to be straight in the logarithm of nodes.
    """
    budgets = sorted(points)
    if points[budgets[0]] <= 0.5:
        return f"at most {budgets[0]} nodes"
    for low, high in pairwise(budgets):
        if points[high] <= 0.5:
            share = (points[low] - 0.5) / (points[low] - points[high])
            nodes = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
            return f"about {round(nodes)} nodes"
    return f"more than {budgets[-1]} nodes"


def limit(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """The smallest share of moves given away at which the score lands beyond the edge."""
    tried, found = [], None
    for strength, result in zip(params["strengths"], inputs, strict=True):
        scores: Sequence[float] = result.payload["scores"]
        lower = confidence_sequence(scores, params["alpha"]).final.lower
        seen = lower > params["edge"]
        points = round(float(np.mean(scores)), 4)
        tried.append(
            {"strength": strength, "points": points, "lower": round(lower, 4), "seen": seen}
        )
        if seen and found is None:
            found = strength
    return {
        "detection_limit": found,
        "detail": {"spike_in": {"edge": params["edge"], "tried": tried}},
    }
