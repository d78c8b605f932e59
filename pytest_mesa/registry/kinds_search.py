"""The budget of a search for a state in the stream, as kinds that look for one state it."""

from __future__ import annotations

from pydantic import Field

from pytest_mesa.registry.models import Closed


class SiteSearch(Closed):
    """How many places are looked at, and how hard, before anything is measured."""

    rank: int = Field(10, ge=1, le=64, description="Rank limit of a trained subspace.")
    screen_pairs: int = Field(256, ge=32, le=10_000)
    sites: int = Field(2, ge=1, le=100, description="Sites per state that get a trained subspace.")
    steps: int = Field(60, ge=0, le=10_000, description="Optimisation steps per subspace.")
    train_pairs: int = Field(2000, ge=64, le=100_000)
    batch: int = Field(96, ge=8, le=4096)
