"""Worker processes, one pipe each, so that a dead one is known together with its cell."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Protocol

from pytest_mesa.runs.cells import Cell
from pytest_mesa.runs.compute import Failure, Outcome, compute
from pytest_mesa.runs.store import Store

_THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_GRACE_S = 5.0


class Pool(Protocol):
    """Takes cells up to its capacity and hands back what became of them."""

    @property
    def free(self) -> int:
        """How many more cells `submit` takes now."""

    def submit(self, cell: Cell) -> None:
        """Start on a cell. Only while `free` is positive."""

    def collect(self) -> list[tuple[Cell, Outcome]]:
        """Wait for at least one submitted cell, and return those that are done."""

    def close(self) -> None:
        """Stop at once; a cell half-way is lost, finished ones are in the store."""


class InlinePool:
    """Computes in this process, one cell at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next: Cell | None = None

    @property
    def free(self) -> int:
        """1 while no cell waits."""
        return int(self._next is None)

    def submit(self, cell: Cell) -> None:
        """Keep the cell for `collect`."""
        self._next = cell

    def collect(self) -> list[tuple[Cell, Outcome]]:
        """Compute the cell that waits."""
        cell, self._next = self._next, None
        return [] if cell is None else [(cell, compute(cell, self._store))]

    def close(self) -> None:
        """Nothing runs here between calls."""
        self._next = None


class ProcessPool:
    """Spawned processes, started when first needed and kept for the next run."""

    def __init__(self, store: Store, workers: int, threads: int = 1) -> None:
        self._store = store
        self._workers = workers
        self._threads = threads
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    @property
    def free(self) -> int:
        """Workers without a cell, started or not."""
        return self._workers - len(self._busy)

    def submit(self, cell: Cell) -> None:
        """Send the cell to an idle worker, or to a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.send(cell):
                self._busy.append(worker)
                return
            worker.kill()
        worker = _Worker(self._store, self._threads)
        # A worker that dies on its first message is found by `collect` like any other.
        worker.send(cell)
        self._busy.append(worker)

    def collect(self) -> list[tuple[Cell, Outcome]]:
        """Wait until a worker answers or dies."""
        if not self._busy:
            return []
        ready = set(wait([handle for worker in self._busy for handle in worker.handles]))
        done = []
        for worker in [w for w in self._busy if ready.intersection(w.handles)]:
            self._busy.remove(worker)
            cell = worker.cell
            outcome = worker.receive()
            if outcome is None:
                outcome = Failure(cell, "worker-lost", f"its worker process {worker.bury()}")
            else:
                self._idle.append(worker)
            done.append((cell, outcome))
        return done

    def close(self) -> None:
        """Kill every worker and wait for it."""
        for worker in self._idle + self._busy:
            worker.kill()
        self._idle.clear()
        self._busy.clear()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, store: Store, threads: int) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, store, threads), name="mesa-worker", daemon=True
        )
        with _no_interrupt():
            self._process.start()
        theirs.close()
        self._cell: Cell | None = None

    @property
    def handles(self) -> Sequence[Connection | int]:
        """What becomes ready when the worker answers or dies."""
        return (self._pipe, self._process.sentinel)

    @property
    def cell(self) -> Cell:
        """The cell it works on."""
        if self._cell is None:
            raise RuntimeError("an idle worker has no cell")
        return self._cell

    def send(self, cell: Cell) -> bool:
        """Hand over a cell; False where the process has died."""
        self._cell = cell
        try:
            self._pipe.send(cell)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> Outcome | None:
        """The outcome, or None where the process died without one."""
        try:
            # Without an answer in the pipe, what woke us was the end of the process.
            outcome: Outcome | None = self._pipe.recv() if self._pipe.poll() else None
        except (EOFError, OSError):
            return None
        return outcome

    def bury(self) -> str:
        """Reap a dead process and say how it ended."""
        self._process.join(_GRACE_S)
        code = self._process.exitcode
        self.kill()
        if code is None:
            return "closed its pipe and was killed"
        if code >= 0:
            return f"ended with exit status {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"

    def kill(self) -> None:
        """End the process, now."""
        self._process.kill()
        self._process.join(_GRACE_S)
        self._pipe.close()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold back Ctrl-C, so that a starting child inherits the block and prints no traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, store: Store, threads: int) -> None:
    """A worker's life: cells in, outcomes out, until the pipe closes."""
    # Ctrl-C reaches the whole terminal group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for name in _THREAD_LIMITS:
        os.environ[name] = str(threads)
    while True:
        try:
            cell = pipe.recv()
            pipe.send(compute(cell, store))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
