"""What of a ledger a report shows: the newest verdicts, and of the last ones everything."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_mesa.ledger.history import History, history
from pytest_mesa.ledger.index import Index, Line
from pytest_mesa.ledger.records import Record
from pytest_mesa.ledger.results import survivors

# A page stays readable, and is made in a second, however long the ledger is.
ROWS = 500
DETAILED = 100
HISTORY = 20


@dataclass(frozen=True, slots=True)
class Claim:
    """A prediction: its newest verdicts by line-up, and its history over all line-ups.

    ``undetailed`` counts the line-ups whose verdict is told by the table of verdicts alone.
    """

    prediction: str
    detailed: tuple[Record, ...]
    history: History
    undetailed: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Sorted by prediction and line-up. ``left_out`` counts line-ups measured longer ago than
    all of ``rows``; ``kept`` names what survives e-BH among the rows."""

    rows: tuple[Record, ...]
    left_out: int
    kept: frozenset[str]
    claims: tuple[Claim, ...]
    amendments: tuple[tuple[int, Record], ...]
    size: int
    head: str


def select(index: Index) -> Selection:
    """Choose what to show.

    Raises:
        LedgerError: a record that is shown is damaged.
    """
    newest = newest_lines(index)
    shown = sorted(newest[:ROWS], key=lambda line: line.item)
    records = dict(zip(shown, index.records(shown), strict=True))
    detailed = set(newest[:DETAILED])
    predictions = sorted({line.prediction for line in shown})
    about_all = index.amendments.get("", [])
    return Selection(
        rows=tuple(records.values()),
        left_out=len(newest) - len(shown),
        kept=survivors(list(records.values())),
        claims=tuple(_claim(index, name, records, detailed) for name in predictions),
        amendments=tuple(
            (line.number, record)
            for line, record in zip(about_all, index.records(about_all), strict=True)
        ),
        size=len(index.lines),
        head=index.lines[-1].sha if index.lines else "",
    )


def newest_lines(index: Index) -> list[Line]:
    """The line of each item's newest verdict, the last one first."""
    return sorted((lines[-1] for lines in index.items.values()), reverse=True)


def _claim(
    index: Index, prediction: str, records: dict[Line, Record], detailed: set[Line]
) -> Claim:
    lines = [line for line in records if line.prediction == prediction]
    told = tuple(records[line] for line in lines if line in detailed)
    past = history(index, prediction, last=HISTORY)
    return Claim(prediction, told, past, len(lines) - len(told))
