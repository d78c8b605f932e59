"""``mesa diff`` and ``mesa history``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from shutil import get_terminal_size

from pytest_mesa._cli.common import UserError, open_ledger, out
from pytest_mesa.ledger import history as histories
from pytest_mesa.ledger.compare import Change, Comparison, compare
from pytest_mesa.ledger.index import Index
from pytest_mesa.ledger.sides import SideError, newest_pairs, pairs, select
from pytest_mesa.report import comparison as shown
from pytest_mesa.report import history as shown_history

_LAST = 1000
_GATES: dict[str, Callable[[Comparison], bool]] = {
    "regression": lambda each: each.is_regression,
    "flipped": lambda each: each.change is Change.FLIPPED,
    "lost": lambda each: each.change is Change.LOST,
    "moved": lambda each: each.change is Change.MOVED,
    "missing": lambda each: each.change is Change.MISSING,
    "broken": lambda each: each.change is Change.BROKEN,
}
NEWEST = ("the verdict before", "the newest verdict")


def diff(options: argparse.Namespace) -> int:
    """Compare two releases, or the newest verdicts with those before them."""
    gates = _gates(options.fail_on)
    comparisons, before, after = compared(open_ledger(options.ledger), options.sides)
    if options.json:
        found = shown.as_json(comparisons, before, after)
        out(json.dumps(found, ensure_ascii=False, indent=2))
    elif options.markdown:
        out(shown.markdown(comparisons, before, after))
    else:
        out(f"before  {before}")
        out(f"after   {after}")
        out()
        for line in shown.lines(comparisons, get_terminal_size().columns):
            out(line.text)
    return int(any(_GATES[gate](each) for each in comparisons for gate in gates))


def compared(index: Index, sides: list[str]) -> tuple[list[Comparison], str, str]:
    """The comparisons of two named sides, or of the newest verdicts, and the sides' names.

    Raises:
        UserError: one side only, or a name that nothing in the ledger goes by.
    """
    if not sides:
        return [compare(*pair) for pair in newest_pairs(index)], *NEWEST
    if len(sides) != 2:
        raise UserError("name two sides to compare, or none for the newest verdicts", 2)
    try:
        before, after = (select(index, name, Path.cwd()) for name in sides)
    except SideError as error:
        raise UserError(str(error)) from None
    return [compare(*pair) for pair in pairs(before, after)], before.name, after.name


def history(options: argparse.Namespace) -> int:
    """List the verdicts on one claim."""
    if options.last is not None and options.last < 1:
        raise UserError(f"--last: {options.last} is not positive", 2)
    last = None if options.all else options.last or _LAST
    try:
        index = open_ledger(options.ledger)
        found = histories.history(index, *_named(index, options.claim), last)
    except histories.HistoryError as error:
        raise UserError(str(error)) from None
    if options.json:
        out(json.dumps(shown_history.as_json(found), ensure_ascii=False, indent=2))
        return 0
    for line in shown_history.lines(found):
        out(line)
    return 0


def _named(index: Index, claim: str) -> tuple[str, str | None]:
    """The prediction and the line-up that ``ID`` or ``ID[LINE-UP]`` names."""
    prediction, bracket, rest = claim.partition("[")
    if claim in index.claims or not bracket:
        return claim, None
    return prediction, rest.removesuffix("]")


def _gates(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in _GATES:
            raise UserError(f"--fail-on: unknown '{name}'; there are {', '.join(_GATES)}", 2)
    return names
