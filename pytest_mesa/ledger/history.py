"""All verdicts on one claim in the order of time, and what changed from each to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_mesa.ledger.compare import Comparison, compare
from pytest_mesa.ledger.index import Index, Line
from pytest_mesa.ledger.records import Record
from pytest_mesa.ledger.sides import places_before
from pytest_mesa.registry.errors import did_you_mean


class HistoryError(ValueError):
    """The ledger holds no verdict on what was asked for; the message says on what it does."""


@dataclass(frozen=True, slots=True)
class Step:
    """A verdict in time. ``line`` is its line in the ledger, ``since`` the comparison with the
    last verdict before it on the same model, or else on any."""

    line: int
    record: Record
    since: Comparison


@dataclass(frozen=True, slots=True)
class History:
    """The last steps, oldest first, how many came ``earlier``, and amendments by line."""

    prediction: str
    lineup: str | None
    steps: tuple[Step, ...]
    earlier: int
    amendments: tuple[tuple[int, Record], ...]


def history(
    index: Index, prediction: str, lineup: str | None = None, last: int | None = None
) -> History:
    """The history of a claim, on all line-ups or on one.

    Args:
        last: read no more than this many verdicts, the newest ones; None reads all.

    Raises:
        HistoryError: there is no verdict on it.
        LedgerError: a record is damaged.
    """
    lines = [
        line for line in index.claims.get(prediction, ()) if lineup is None or line.lineup == lineup
    ]
    if not lines:
        raise HistoryError(_unknown(index, prediction, lineup))
    first = 0 if last is None else max(0, len(lines) - last)
    return History(
        prediction,
        lineup,
        tuple(_steps(index, lines, first)),
        first,
        tuple(_amendments(index, prediction)),
    )


def _steps(index: Index, lines: Sequence[Line], first: int) -> list[Step]:
    earlier = places_before(lines)
    places = range(first, len(lines))
    needed = sorted({*places, *(before for p in places if (before := earlier[p]) is not None)})
    read = index.records(lines[place] for place in needed)
    records = dict(zip(needed, read, strict=True))
    found = []
    for place in places:
        before = earlier[place]
        since = compare(records[before] if before is not None else None, records[place])
        found.append(Step(lines[place].number, records[place], since))
    return found


def _amendments(index: Index, prediction: str) -> list[tuple[int, Record]]:
    lines = index.amendments.get(prediction, [])
    return [(line.number, r) for line, r in zip(lines, index.records(lines), strict=True)]


def _unknown(index: Index, prediction: str, lineup: str | None) -> str:
    if prediction not in index.claims:
        known = sorted(index.claims)
        hint = did_you_mean(prediction, known) or f"there are {', '.join(known) or 'none yet'}"
        return f"{index.path} holds no verdict on '{prediction}'; {hint}"
    lineups = list(dict.fromkeys(line.lineup for line in index.claims[prediction]))
    told = ", ".join(lineup or "the spec's own subjects" for lineup in lineups[-8:])
    return f"{index.path} holds no verdict on '{prediction}' with '{lineup}'; line-ups: {told}"
