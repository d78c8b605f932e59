"""From the cells that are wanted to their results: what is stored is read, the rest computed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.runs.compute import Failure, Outcome
from pytest_mesa.runs.store import Store, StoreError
from pytest_mesa.runs.workers import InlinePool, Pool, ProcessPool


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a run, for progress displays.

    ``done`` of ``total`` cells are settled after it; ``elapsed_s`` is what this cell took
    (0 for ``cached`` and ``started``). Cells under a stored one are not looked at or counted.
    """

    what: Literal["cached", "started", "finished", "failed"]
    cell: Cell
    done: int
    total: int
    elapsed_s: float = 0.0
    failure: Failure | None = None


OnEvent = Callable[[Event], None]


class Executor(Protocol):
    """Something that computes cells."""

    def run(
        self,
        cells: Iterable[Cell],
        on_event: OnEvent | None = None,
        later: Iterator[Iterable[Cell]] | None = None,
    ) -> dict[Cell, Outcome]:
        """The outcome of every given cell.

        ``later`` gives the cells of the runs that follow, for whoever is idle until then.
        """


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the store says about a set of cells.

    ``pending`` is in topological order: a cell comes after the inputs that it waits for.
    """

    settled: dict[Cell, Outcome]
    pending: tuple[Cell, ...]


def resolve(cells: Iterable[Cell], store: Store) -> Resolved:
    """Look up cells, and the inputs of those that are missing, each once.

    A damaged entry of a read-only layer settles its cell as a failure.
    """
    settled: dict[Cell, Outcome] = {}
    pending: dict[Cell, None] = {}
    entered: set[Cell] = set()
    # A stack in place of recursion: pipelines may be deeper than Python's.
    stack = [(cell, False) for cell in reversed(list(cells))]
    while stack:
        cell, inputs_done = stack.pop()
        if inputs_done:
            pending[cell] = None
            continue
        if cell in entered:
            continue
        entered.add(cell)
        try:
            found = store.get(cell)
        except StoreError as error:
            settled[cell] = Failure(cell, "store", str(error))
            continue
        if found is not None:
            settled[cell] = found
            continue
        stack.append((cell, True))
        stack.extend((item, False) for item in reversed(cell.inputs))
    return Resolved(settled, tuple(pending))


def pending(cells: Iterable[Cell], store: Store) -> tuple[Cell, ...]:
    """The cells that a run would compute, in a possible order."""
    return resolve(cells, store).pending


class LocalExecutor:
    """Computes on this machine, in ``workers`` processes of ``threads`` threads each.

    ``workers=None`` means one per core, ``0`` this process. Processes start when the first
    missing cell needs one, stay for later runs, and end with `close` or the ``with`` block.
    """

    def __init__(self, store: Store, workers: int | None = None, threads: int = 1) -> None:
        self.store = store
        count = (os.cpu_count() or 1) if workers is None else workers
        self._pool: Pool = ProcessPool(store, count, threads) if count else InlinePool(store)
        self._flying: dict[Cell, float] = {}  # cells that workers are at, and since when
        self._ahead: list[_Run] = []  # later runs that have been begun on
        self._fresh: dict[Cell, float] = {}  # finished ahead of their run, and what they took
        self._failed: dict[Cell, Failure] = {}  # failed ahead of it: it is told, and no more

    def run(
        self,
        cells: Iterable[Cell],
        on_event: OnEvent | None = None,
        later: Iterator[Iterable[Cell]] | None = None,
    ) -> dict[Cell, Outcome]:
        """The outcome of every given cell.

        A cell that fails takes down only what depends on it. On ``KeyboardInterrupt`` the
        workers are killed and the interrupt goes on; finished cells stay in the store. While
        the last of these cells leave workers idle, they start on ``later`` ones: those of the
        next runs, which find them stored, or take them over half-way.
        """
        wanted = list(dict.fromkeys(cells))
        progress = _Run(resolve(wanted, self.store), on_event, self._fresh)
        self._ahead = []  # what was left of them may be this run's
        for known in progress.pending & self._failed.keys():
            progress.settle(known, self._failed.pop(known))
        try:
            while progress.unfinished:
                while self._pool.free and (cell := self._next(progress, later)):
                    self._flying[cell] = time.monotonic()
                    self._pool.submit(cell)
                for cell, outcome in self._pool.collect():
                    self._land(progress, cell, outcome)
        except BaseException:
            self._pool.close()
            self._flying.clear()
            raise
        return {cell: progress.settled[cell] for cell in wanted}

    def _land(self, progress: _Run, cell: Cell, outcome: Outcome) -> None:
        """Tell whoever waits for a cell that a worker is done with."""
        took = time.monotonic() - self._flying.pop(cell)
        for run in self._ahead:
            run.settle(cell, outcome)
        if progress.settle(cell, outcome):
            return
        if isinstance(outcome, Failure):
            self._failed[cell] = outcome
        else:
            self._fresh[cell] = took

    def _next(self, progress: _Run, later: Iterator[Iterable[Cell]] | None) -> Cell | None:
        """The run's next cell that nobody is at; where there is none, one of a later run."""
        for run in (progress, *self._ahead):
            if cell := self._free_of(run):
                return cell
        for cells in later or ():
            self._ahead.append(_Run(resolve(cells, self.store)))
            if cell := self._free_of(self._ahead[-1]):
                return cell
        return None

    def _free_of(self, run: _Run) -> Cell | None:
        """A run's next cell that nobody is at."""
        while (cell := run.take()) in self._flying:
            pass  # whoever is at it will tell
        return cell

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Run:
    """The bookkeeping of one run: what is settled, ready, and waiting for inputs."""

    def __init__(
        self,
        resolved: Resolved,
        on_event: OnEvent | None = None,
        fresh: Mapping[Cell, float] | None = None,
    ) -> None:
        self.settled = dict(resolved.settled)
        self._fresh = fresh or {}
        self._on_event = on_event
        self.pending = frozenset(resolved.pending)
        self._total = len(resolved.settled) + len(resolved.pending)
        self._waiting: dict[Cell, set[Cell]] = {}
        self._dependants: dict[Cell, list[Cell]] = {}
        self._ready: deque[Cell] = deque()
        self._started: dict[Cell, float] = {}
        for count, (cell, outcome) in enumerate(resolved.settled.items(), 1):
            stored: Literal["finished", "cached"] = "finished" if cell in self._fresh else "cached"
            self._tell(stored if isinstance(outcome, Result) else "failed", cell, count, outcome)
        for cell in resolved.pending:
            self._queue(cell)

    @property
    def unfinished(self) -> bool:
        """Whether any cell is still to settle."""
        return len(self.settled) < self._total

    def take(self) -> Cell | None:
        """The next cell that can start, if any."""
        while self._ready and self._ready[0] in self.settled:
            self._ready.popleft()
        if not self._ready:
            return None
        cell = self._ready.popleft()
        self._started[cell] = time.monotonic()
        self._tell("started", cell, len(self.settled))
        return cell

    def settle(self, cell: Cell, outcome: Outcome) -> bool:
        """Note an outcome, and free or fail what waited for it; False if it is not of this run."""
        if cell not in self.pending:
            return False
        stack: list[tuple[Cell, Outcome]] = [(cell, outcome)]
        while stack:
            cell, outcome = stack.pop()
            if cell in self.settled:
                continue
            self.settled[cell] = outcome
            what: Literal["finished", "failed"] = (
                "finished" if isinstance(outcome, Result) else "failed"
            )
            self._tell(what, cell, len(self.settled), outcome)
            for dependant in self._dependants.pop(cell, ()):
                if isinstance(outcome, Failure):
                    stack.append((dependant, _inherited(dependant, outcome)))
                    continue
                self._waiting[dependant].discard(cell)
                if not self._waiting[dependant] and dependant not in self.settled:
                    self._ready.append(dependant)
        return True

    def _queue(self, cell: Cell) -> None:
        failed = next(
            (f for item in cell.inputs if isinstance(f := self.settled.get(item), Failure)), None
        )
        if failed is not None:
            self.settle(cell, _inherited(cell, failed))
            return
        self._waiting[cell] = {item for item in cell.inputs if item not in self.settled}
        for item in self._waiting[cell]:
            self._dependants.setdefault(item, []).append(cell)
        if not self._waiting[cell]:
            self._ready.append(cell)

    def _tell(
        self,
        what: Literal["cached", "started", "finished", "failed"],
        cell: Cell,
        done: int,
        outcome: Outcome | None = None,
    ) -> None:
        if self._on_event is None:
            return
        began = self._started.get(cell)
        elapsed = time.monotonic() - began if began is not None else self._fresh.get(cell, 0.0)
        failure = outcome if isinstance(outcome, Failure) else None
        self._on_event(Event(what, cell, done, self._total, elapsed, failure))


def _inherited(cell: Cell, failure: Failure) -> Failure:
    root = failure.root
    name = root.cell.label or root.cell.key[:12]
    return Failure(
        cell, "input-failed", f"needs {name}: {root.message}", root.traceback, cause=failure
    )
