"""What the items of one session share: the executor, the progress display, the past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import dropwhile, islice
from typing import Any, Protocol

import pytest

from pytest_mesa._plugin.options import Options
from pytest_mesa.ledger.errors import LedgerError
from pytest_mesa.ledger.index import Index, scan
from pytest_mesa.ledger.records import item
from pytest_mesa.ledger.sides import Side, select
from pytest_mesa.registry.loader import LoadedPrediction
from pytest_mesa.registry.lock import LockStatus, status
from pytest_mesa.runs.cells import Cell
from pytest_mesa.runs.execute import Event, LocalExecutor
from pytest_mesa.session import Counts, Run, cells_of, run_prediction

Expected = tuple[str, LoadedPrediction, str | None]  # an item: node id, prediction, line-up


class Progress(Protocol):
    """Something that shows how far an item has come."""

    def begin(self, name: str) -> None:
        """An item with this node id starts."""

    def note(self, event: Event) -> None:
        """A cell starts or settles."""

    def end(self) -> None:
        """The item is over."""


class Silent:
    """No progress at all, for workers and quiet runs."""

    def begin(self, name: str) -> None:
        """Show nothing."""

    def note(self, event: Event) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


class Lab:
    """Runs predictions for the items of this process."""

    def __init__(self, options: Options, progress: Progress) -> None:
        self.options = options
        self.progress = progress
        self.counts = Counts()
        self.expected: Sequence[Expected] = ()

    @cached_property
    def _executor(self) -> LocalExecutor:
        settings = self.options.settings
        return LocalExecutor(settings.store(), settings.workers)

    @cached_property
    def past(self) -> Index:
        """The ledger as it was when it was first looked at.

        Raises:
            LedgerError: it is damaged.
        """
        return scan(self.options.ledger)

    @cached_property
    def baseline(self) -> Side | None:
        """The release that ``--mesa-compare`` names.

        Raises:
            SideError: nothing goes by that name.
            LedgerError: a ledger is damaged.
        """
        name = self.options.compare
        return select(self.past, name, self.options.here) if name is not None else None

    def run(self, nodeid: str, loaded: LoadedPrediction, model_ref: str | None) -> Run:
        """Run one prediction, showing its progress."""
        counted = Counts()

        def note(event: Event) -> None:
            nonlocal counted
            if event.what == "finished":
                counted += Counts(computed=1)
            self.progress.note(event)

        self.progress.begin(nodeid)
        try:
            run = run_prediction(
                loaded,
                self.options.settings,
                model_ref,
                note,
                self._executor,
                self._later(nodeid),
            )
        except BaseException:
            # Interrupted: what has finished is in the store, and is told at the end.
            self.counts += counted
            raise
        finally:
            self.progress.end()
        self.counts += run.counts
        return run

    def _later(self, nodeid: str) -> Iterator[tuple[Cell, ...]]:
        """The cells of the items behind this one, so that no worker waits for its last ones."""
        settings = self.options.settings
        behind = dropwhile(lambda item: item[0] != nodeid, self.expected)
        for _, loaded, model_ref in islice(behind, 1, None):
            locked = status(loaded, settings.lock) is LockStatus.LOCKED
            if locked or not self.options.locked:
                yield cells_of(loaded, settings, model_ref)

    def previous(self, run: Run) -> Mapping[str, Any] | None:
        """The verdict to compare with: the release's of ``--mesa-compare``, or the newest one."""
        if run.record is None:
            return None
        try:
            if self.baseline is not None:
                return self.baseline.match(run.record)
            return self.past.newest(item(run.record))
        except LedgerError:
            # The controller refuses a damaged ledger with its own message and status.
            return None

    def close(self) -> None:
        """End the worker processes."""
        if "_executor" in self.__dict__:
            self._executor.close()


LAB = pytest.StashKey[Lab]()
