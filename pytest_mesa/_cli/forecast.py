"""``mesa forecast``: state what the next release should read, before it is measured."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_mesa._cli.common import UserError, open_ledger, out, places
from pytest_mesa._looking_back import companion
from pytest_mesa.ledger.append import append, read
from pytest_mesa.ledger.index import Index
from pytest_mesa.ledger.releases import before, releases, stated, statement
from pytest_mesa.ledger.results import render
from pytest_mesa.registry.files import write_atomically
from pytest_mesa.registry.loader import LoadedPrediction, collect
from pytest_mesa.verdicts.forecast import LEAST, Forecast, Scale, next_of
from pytest_mesa.verdicts.releases import Release

DAMAGED = 12


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one prediction expects of the next release on one claim.

    ``made`` is None where there are too few releases; ``line`` is where it was stated already.
    """

    by: str
    claim: str
    body: dict[str, Any]
    earlier: tuple[Release, ...]
    made: Forecast | None
    line: int | None

    @property
    def missing(self) -> int:
        """How many releases are to come before there is a forecast."""
        return max(0, LEAST - len(self.earlier))

    def to_json(self) -> dict[str, Any]:
        """The outlook as ``--json`` prints it."""
        known = {"by": self.by, "claim": self.claim, "earlier": self.body["earlier"]}
        if self.made is None:
            return known | {"missing": self.missing}
        return known | _numbers(self.made)


def forecast(options: argparse.Namespace) -> int:
    """Print each watched claim's forecast, and append it to the ledger where it is new."""
    index = open_ledger(options.ledger)
    watchers = _watchers(options.paths)
    if not watchers:
        out("no prediction here has an experiment of the kind 'forecast': nothing is watched")
        return 0
    outlooks = [
        _outlook(index, spec, claim, options.model)
        for spec in watchers
        for claim in spec.prediction.experiment.watch
    ]
    if not options.dry_run:
        _record(options, outlooks)
    if options.json:
        out(json.dumps([each.to_json() for each in outlooks], ensure_ascii=False, indent=2))
        return 0
    for outlook in outlooks:
        for line in _lines(outlook, dry=options.dry_run):
            out(line)
    return 0


def _record(options: argparse.Namespace, outlooks: list[Outlook]) -> None:
    """Append what is stated for the first time, and render the ledger anew.

    Raises:
        UserError: RESULTS.md can't be written; the forecasts are recorded.
    """
    bodies = [
        each.body | _numbers(each.made) for each in outlooks if each.made and each.line is None
    ]
    for body in bodies:
        append(options.ledger, body)
    results: Path = options.results or options.ledger.with_name("RESULTS.md")
    # A ledger that nobody has rendered needs no rendering here either.
    if bodies and results.exists():
        try:
            write_atomically(results, render(read(options.ledger)))
        except OSError as error:
            raise UserError(
                f"{results}: can't be written ({error.strerror}); the forecasts are recorded, and "
                "'mesa results' does the rest",
                DAMAGED,
            ) from None


def _watchers(paths: list[Path]) -> list[LoadedPrediction]:
    """The specs that forecast.

    Raises:
        UserError: a path that is not there, or a spec that does not read.
    """
    found, _, root = places(paths)
    collection = collect(found, root)
    for errors in collection.errors:
        raise UserError(f"a spec does not read: {errors}")
    return [spec for spec in collection.loaded if spec.prediction.experiment.kind == "forecast"]


def _outlook(index: Index, spec: LoadedPrediction, claim: str, model: str | None) -> Outlook:
    """The forecast of one claim.

    Raises:
        UserError: the model has a verdict on the claim already, or an estimate is off its scale.
        SubjectError: the watched claim is not beside the spec.
    """
    if model is not None and (past := index.items.get((claim, model))):
        raise UserError(
            f"{model} has a verdict on {claim} already (line {past[0].number}): a forecast is "
            "stated before the measurement"
        )
    watched = companion(spec, claim)
    earlier = before(releases(index, claim, watched.sha), model or "")
    by = {"prediction": spec.id, "spec_sha": spec.sha}
    body = statement(claim, watched.sha, by, earlier)
    made = None
    if len(earlier) >= LEAST:
        experiment = spec.prediction.experiment
        ends = experiment.watch[claim]
        share = spec.prediction.verdict.alpha / len(experiment.watch)
        made = next_of([r.estimate for r in earlier], Scale(ends.low, ends.high), share)
    return Outlook(spec.id, claim, body, earlier, made, stated(index, body))


def _numbers(made: Forecast) -> dict[str, Any]:
    return {
        "interval": [made.lower, made.upper],
        "centre": made.centre,
        "level": made.level,
        "scale": [made.scale.low, made.scale.high],
    }


def _lines(outlook: Outlook, *, dry: bool) -> list[str]:
    head = f"{outlook.claim} (watched by {outlook.by})"
    if outlook.made is None:
        return [
            head,
            f"  {len(outlook.earlier)} of the {LEAST} releases that a forecast takes; "
            f"{outlook.missing} are missing",
        ]
    made = outlook.made
    where = "not recorded (--dry-run)" if dry else "recorded now"
    if outlook.line is not None:
        where = f"recorded on line {outlook.line}"
    newest = outlook.earlier[-1]
    return [
        head,
        f"  next release  {made.lower:.3f} to {made.upper:.3f}, around {made.centre:.3f}",
        f"  rests on      {made.earlier} releases, the newest {newest.name} at "
        f"{newest.estimate:.3f}",
        f"  false alarm   {made.level:.2g} at most; {where}",
    ]
