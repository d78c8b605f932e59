"""What is published: the verdicts of one release, or the newest ones, and what they changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pytest_mesa.ledger.compare import Change, Comparison, compare
from pytest_mesa.ledger.index import Index, Item, Line
from pytest_mesa.ledger.records import OUTCOMES, Record, item
from pytest_mesa.ledger.results import survivors
from pytest_mesa.ledger.sides import Side, family, newest_pairs, pairs, select
from pytest_mesa.report.selection import ROWS, newest_lines

# What asks for attention stands first, so that no cut can hide it.
_ORDER = ("fail", "error", "inconclusive", "pass")
_UNTOLD = (Change.SAME, Change.NEW)
BEFORE, NOW = "the verdicts before", "these"


@dataclass(frozen=True, slots=True)
class Release:
    """Verdicts with what asks for attention first, and their comparison with those before.

    ``name`` is empty for the newest verdicts of the ledger; ``left_out`` counts older ones.
    """

    name: str
    records: tuple[Record, ...]
    left_out: int
    kept: frozenset[str]
    comparisons: tuple[Comparison, ...]
    before: str

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each outcome, those of which there are none included."""
        found = Counter(record["verdict"] for record in self.records)
        return {outcome: found[outcome] for outcome in OUTCOMES}


def release(index: Index, name: str | None, before: str | None, folder: Path) -> Release:
    """The verdicts of the release ``name``, or each model's newest, compared with ``before``.

    Names are those of `pytest_mesa.ledger.sides.select`. Without ``before``, each verdict is
    compared with the one before it on the same model.

    Raises:
        SideError: nothing goes by a name.
        LedgerError: a damaged record.
    """
    left_out = 0
    if name is None:
        newest = _newest_of_models(index)
        left_out = max(0, len(newest) - ROWS)
        records = list(index.records(newest[:ROWS]))
    else:
        records = list(select(index, name, folder).records.values())
    if before is None:
        shas = {record["sha"] for record in records}
        found = [pair for pair in newest_pairs(index) if pair[1] and pair[1]["sha"] in shas]
    else:
        now = Side(name or NOW, {item(record): record for record in records})
        found = pairs(select(index, before, folder), now)
    told = [compare(*pair) for pair in found]
    records.sort(key=lambda record: (_ORDER.index(record["verdict"]), item(record)))
    return Release(
        name=name or "",
        records=tuple(records),
        left_out=left_out,
        kept=survivors(records),
        comparisons=tuple(each for each in told if each.change not in _UNTOLD),
        before=before or BEFORE,
    )


def _newest_of_models(index: Index) -> list[Line]:
    """The newest verdict on each claim and model, at whatever revision, the last one first."""
    found: dict[Item, Line] = {}
    for line in newest_lines(index):
        found.setdefault((line.prediction, family(line.lineup)), line)
    return list(found.values())
