"""One prediction's way from spec to record: plan, execute, read, decide."""

from __future__ import annotations

import importlib
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from pytest_mesa._looking_back import look_back
from pytest_mesa._paths import shipped
from pytest_mesa._records import RunError, error_record, session_record, verdict_record
from pytest_mesa.experiments.base import LooksBack, Plan, Study
from pytest_mesa.ledger.errors import LedgerError
from pytest_mesa.registry.discovery import KindError, find_kind
from pytest_mesa.registry.loader import LoadedPrediction
from pytest_mesa.registry.lock import Lock, status
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.runs.compute import Failure
from pytest_mesa.runs.execute import Event, Executor, LocalExecutor, OnEvent
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.verdicts.reasons import Reason


class ErrorReason(StrEnum):
    """Why a run broke. These are never verdicts."""

    NO_CELLS = "no-cells"
    PLAN_FAILED = "plan-failed"
    CELL_FAILED = "cell-failed"
    WORKER_LOST = "worker-lost"
    STORE = "store"
    BAD_EVIDENCE = "bad-evidence"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a run reads and writes. Nothing here can move alpha, thresholds or budgets.

    ``root`` is the folder whose version-control state goes into records. ``workers`` as for
    `LocalExecutor`. ``retrain`` leaves the frozen results of ``fixtures`` aside. ``ledger`` is
    what predictions that follow other claims look back on.
    """

    root: Path
    cache_dir: Path
    lock: Lock = field(default_factory=Lock)
    fixtures: Path = field(default_factory=lambda: shipped("fixtures"))
    retrain: bool = False
    workers: int | None = None
    ledger: Path | None = None

    def store(self) -> Store:
        """The store of finished cells, over the frozen ones."""
        return Store(self.cache_dir, () if self.retrain else (self.fixtures,))


@dataclass(frozen=True, slots=True)
class Counts:
    """Where the cells of a run came from."""

    computed: int = 0
    stored: int = 0
    frozen: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.computed + other.computed,
            self.stored + other.stored,
            self.frozen + other.frozen,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one prediction on one line-up.

    ``record`` is the ledger record's body; None where there was no subject, or none that the
    experiment can ask, which leaves nothing to record. ``message`` says it in a sentence;
    ``trace`` is the traceback of a cell or an experiment that raised.
    """

    record: dict[str, Any] | None
    message: str
    counts: Counts = Counts()
    trace: str = ""


def lacks_subject(loaded: LoadedPrediction, model_ref: str | None) -> bool:
    """Whether the spec only has slots for released models, and none is given."""
    return model_ref is None and all(subject.released for subject in loaded.prediction.subjects)


def run_prediction(
    loaded: LoadedPrediction,
    settings: Settings,
    model_ref: str | None = None,
    on_event: OnEvent | None = None,
    executor: Executor | None = None,
    later: Iterator[Iterable[Cell]] | None = None,
) -> Run:
    """Run one prediction and build its record; what breaks on the way becomes an error record.

    ``executor`` computes the cells, and must use the store of ``settings``; without one, local
    processes do, for this run only. It may begin on cells of ``later`` runs (`cells_of`).
    """
    if executor is None:
        with LocalExecutor(settings.store(), settings.workers) as local:
            return run_prediction(loaded, settings, model_ref, on_event, local)
    if lacks_subject(loaded, model_ref):
        return Run(None, f"{Reason.NO_SUBJECT}: {Reason.NO_SUBJECT.remedy}")
    start = time.monotonic()
    tally = _Tally(settings.store(), on_event)
    trace = ""
    try:
        body, message = _verdict(loaded, settings, model_ref, executor, tally, later)
    except UnsuitedError as unsuited:
        return Run(None, f"{Reason.NO_SUBJECT}: {unsuited}")
    except RunError as failure:
        body = error_record(loaded, settings.root, model_ref, failure.reason, str(failure))
        message, trace = str(failure), failure.trace
    body["locked"] = status(loaded, settings.lock).value
    body["duration_s"] = round(time.monotonic() - start, 3)
    return Run(body, message, tally.counts, trace)


def cells_of(
    loaded: LoadedPrediction, settings: Settings, model_ref: str | None = None
) -> tuple[Cell, ...]:
    """The cells that a prediction's run takes; none of one that can't be run."""
    if lacks_subject(loaded, model_ref):
        return ()
    try:
        return tuple(_planned(loaded, settings, model_ref)[1].cells)
    except (RunError, UnsuitedError):
        return ()


def run_record(root: Path, records: Sequence[Mapping[str, Any]], counts: Counts) -> dict[str, Any]:
    """The body of the record of a whole session."""
    outcomes = Counter(record["verdict"] for record in records)
    return session_record(root, {**outcomes, "cells": asdict(counts)})


def lost_run(
    loaded: LoadedPrediction, settings: Settings, model_ref: str | None, message: str
) -> Run:
    """The error record of a run whose process died."""
    body = error_record(loaded, settings.root, model_ref, ErrorReason.WORKER_LOST, message)
    body["locked"] = status(loaded, settings.lock).value
    body["duration_s"] = 0.0
    return Run(body, message)


def find_study(kind: str) -> Study:
    """The code of an experiment kind.

    Raises:
        KindError: no such kind, or its package is broken.
        ImportError, AttributeError: its ``impl`` names nothing.
    """
    module, _, name = find_kind(kind).impl.partition(":")
    return cast(Study, getattr(importlib.import_module(module), name))


def _verdict(
    loaded: LoadedPrediction,
    settings: Settings,
    model_ref: str | None,
    executor: Executor,
    tally: _Tally,
    later: Iterator[Iterable[Cell]] | None,
) -> tuple[dict[str, Any], str]:
    """The record's body and message of a run that worked.

    Raises:
        RunError: one that did not.
        UnsuitedError: the released model reads something else than the experiment writes.
    """
    # With numpy behind it, which those who only list predictions need not wait for.
    from pytest_mesa.verdicts.decision import decide

    prediction = loaded.prediction
    study, plan = _planned(loaded, settings, model_ref)
    results = _results(executor.run(plan.cells, tally.note, later).values(), plan.cells)
    try:
        evidence = study.read(prediction, plan, results)
        verdict = decide(prediction.verdict, prediction.competence, evidence)
        body = verdict_record(loaded, settings.root, model_ref, verdict, evidence)
    except Exception as error:  # an experiment kind is anybody's code; it may raise anything
        raise _failed(ErrorReason.BAD_EVIDENCE, "the results do not read", error) from error
    if "estimate" not in body:
        raise RunError(ErrorReason.BAD_EVIDENCE, f"there is no estimate: {verdict.message}")
    body["message"] = f"{verdict.message} {evidence.remark}".strip()
    return body, body["message"]


def _planned(
    loaded: LoadedPrediction, settings: Settings, model_ref: str | None
) -> tuple[Study, Plan]:
    prediction = loaded.prediction
    try:
        study = find_study(prediction.experiment.kind)
        if model_ref is not None and isinstance(study, LooksBack):
            past = look_back(loaded, settings.ledger, model_ref, find_study)
            study = study.looking_back(past, model_ref)
        plan = study.plan(prediction, model_ref)
    except UnsuitedError:
        raise
    except (KindError, SubjectError, LedgerError) as error:
        raise RunError(ErrorReason.PLAN_FAILED, str(error)) from error
    except Exception as error:
        raise _failed(ErrorReason.PLAN_FAILED, "the experiment cannot be planned", error) from error
    if not plan.subjects or not plan.cells:
        raise RunError(ErrorReason.NO_CELLS, "the experiment has no cells, so nothing was measured")
    return study, plan


def _results(outcomes: Iterable[Result | Failure], cells: Iterable[Cell]) -> Mapping[Cell, Result]:
    results: dict[Cell, Result] = {}
    for cell, outcome in zip(dict.fromkeys(cells), outcomes, strict=True):
        if isinstance(outcome, Failure):
            root = outcome.root
            reason = {
                "worker-lost": ErrorReason.WORKER_LOST,
                "store": ErrorReason.STORE,
            }.get(root.kind, ErrorReason.CELL_FAILED)
            name = root.cell.label or f"{root.cell.kind} {root.cell.key[:12]}"
            raise RunError(reason, f"{name}: {root.message}", root.traceback)
        results[cell] = outcome
    return results


def _failed(reason: str, what: str, error: Exception) -> RunError:
    message = f"{what}: {type(error).__name__}: {error}"
    return RunError(reason, message, "".join(traceback.format_exception(error)))


class _Tally:
    """Counts cells by where they came from, and passes events on."""

    def __init__(self, store: Store, on_event: OnEvent | None) -> None:
        self.counts = Counts()
        self._store = store
        self._on_event = on_event

    def note(self, event: Event) -> None:
        """Count one event."""
        if event.what == "finished":
            self.counts += Counts(computed=1)
        elif event.what == "cached":
            here = self._store.folder(event.cell).exists()
            self.counts += Counts(stored=1) if here else Counts(frozen=1)
        if self._on_event is not None:
            self._on_event(event)
