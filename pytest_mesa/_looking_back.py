"""What a prediction that follows other claims may ask of the ledger: their earlier releases."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from pytest_mesa.experiments.base import LookBack, Study, Watched
from pytest_mesa.ledger.index import Index, scan
from pytest_mesa.ledger.releases import before, releases, stated, statement
from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.loader import SUFFIXES, LoadedPrediction, load
from pytest_mesa.subjects.errors import SubjectError

FindStudy = Callable[[str], Study]


def look_back(
    loaded: LoadedPrediction, ledger: Path | None, released: str, find_study: FindStudy
) -> LookBack:
    """How a prediction finds the claims that it watches, and the releases before ``released``.

    Raises (when called):
        SubjectError: a watched claim that is not beside the prediction, or does not read.
        LedgerError: the ledger is damaged.
    """

    @cache
    def index() -> Index | None:
        return scan(ledger) if ledger is not None else None

    def watched(name: str) -> Watched:
        spec = companion(loaded, name)
        past = index()
        study = find_study(spec.prediction.experiment.kind)
        if past is None:
            return Watched(spec.prediction, study, ())
        earlier = before(releases(past, name, spec.sha), released)
        body = statement(name, spec.sha, {"prediction": loaded.id, "spec_sha": loaded.sha}, earlier)
        line = stated(past, body)
        first = past.items.get((name, released))
        if line is not None and first and first[0].number < line:
            line = None  # what is said after the measurement is no forecast
        return Watched(spec.prediction, study, earlier, line)

    return watched


def companion(loaded: LoadedPrediction, name: str) -> LoadedPrediction:
    """The spec of a watched claim, which lies in the same folder under its id.

    Raises:
        SubjectError: there is none, or it does not read.
    """
    where = ("experiment", "watch", name)
    for suffix in SUFFIXES:
        path = loaded.path.with_name(name + suffix)
        if not path.is_file():
            continue
        try:
            return load(path)
        except SpecErrors as errors:
            raise SubjectError(
                f"experiment.watch: {name} does not read: {errors}", at=where
            ) from None
    raise SubjectError(
        f"experiment.watch: there is no {name}{SUFFIXES[0]} beside {loaded.name}", at=where
    )
