"""A release as forecasts see it; apart from what computes them, which takes numpy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """One release's estimate on one claim.

    ``name`` is its line-up in the ledger, ``line`` that of its first verdict there.
    """

    name: str
    estimate: float
    line: int
    weights_sha: str = ""
