"""Ratings of one pool by the Bradley-Terry model, in Elo points, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

ELO = 400 / np.log(10)  # points to a unit of log-odds
DRAWN = 0.5  # pairs of games drawn that each match begins with: nobody is infinitely strong
ROUNDS, STEADY = 500, 1e-4  # a hundredth of a rating point
DRAWS = 300  # resamples of pairs behind an interval
LEVEL = (2.5, 97.5)

Played = tuple[str, str, Sequence[float]]  # two players, and the first one's points pair by pair


def strengths(
    wins: Float[np.ndarray, "player player"],
) -> Float[np.ndarray, " player"]:
    """Log strengths, mean 0, from who took how many points of whom.

    By the iteration of Hunter 2004, which climbs the likelihood at every step.
    """
    total = wins + wins.T
    worth = np.ones(len(wins))
    for _ in range(ROUNDS):
        pace = (total / (worth[:, None] + worth[None, :])).sum(1)
        after = wins.sum(1) / pace
        after /= np.exp(np.log(after).mean())
        step, worth = np.abs(np.log(after / worth)).max(), after
        if step < STEADY:
            break
    return np.asarray(np.log(worth))


def rated(
    played: Sequence[Played], anchor: str, rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Elo of each player above ``anchor``, with a 95 % interval over resampled pairs of games."""
    names = list(dict.fromkeys(name for one, other, _ in played for name in (one, other)))
    place = {name: index for index, name in enumerate(names)}

    def elo(points: Sequence[Float[np.ndarray, " pair"]]) -> Float[np.ndarray, " player"]:
        wins = np.zeros((len(names), len(names)))
        for (one, other, _), scores in zip(played, points, strict=True):
            wins[place[one], place[other]] += scores.sum() + DRAWN / 2
            wins[place[other], place[one]] += (1 - scores).sum() + DRAWN / 2
        found = strengths(wins) * ELO
        return np.asarray(found - found[place[anchor]])

    given = [np.array(scores) for _, _, scores in played]
    own = elo(given)
    # With a drawn pair among those drawn from: a match won throughout has no spread of its own.
    spread = [np.append(scores, 0.5) for scores in given]
    drawn = np.array(
        [elo([rng.choice(scores, len(scores) - 1) for scores in spread]) for _ in range(DRAWS)]
    )
    low, high = np.percentile(drawn, LEVEL, axis=0)
    return {
        name: {
            "elo": round(float(own[index])),
            "interval": [round(float(low[index])), round(float(high[index]))],
        }
        for name, index in place.items()
    }
