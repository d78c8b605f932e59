"""How far a long run has come: a live display, or plain lines for logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from pytest_mesa.runs.cells import Cell
from pytest_mesa.runs.execute import Event

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

# A line for every cell that was done in a blink would bury those that were waited for.
_WORTH_A_LINE_S = 1.0
_REFRESH_PER_S = 4
_RUNNING_SHOWN = 8


def duration_text(seconds: float) -> str:
    """``4.2 s``, ``6 min 02 s`` or ``1 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def cell_name(cell: Cell) -> str:
    """The cell's label, or its kind and the start of its key."""
    return cell.label or f"{cell.kind} {cell.key[:12]}"


class PlainProgress:
    """One line for each cell that failed or took long enough to be waited for."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        self._write_line = write_line
        self._name = ""

    def begin(self, name: str) -> None:
        """An item starts."""
        self._name = name

    def note(self, event: Event) -> None:
        """A cell starts or settles."""
        if event.what == "failed" and event.failure is not None and event.failure.cause is None:
            self._tell(event, f"failed: {event.failure.message}")
        elif event.what == "finished" and event.elapsed_s >= _WORTH_A_LINE_S:
            self._tell(event, f"({duration_text(event.elapsed_s)})")

    def end(self) -> None:
        """The item is over."""

    def _tell(self, event: Event, what: str) -> None:
        count = f"[{event.done}/{event.total}]"
        self._write_line(f"  {self._name} {count} {cell_name(event.cell)} {what}")


class LiveProgress:
    """A bar, and the cells at work below it, redrawn in place until the item is over.

    Nothing is drawn, and rich not imported, until the first cell has to be computed.
    ``before`` and ``after`` are called around the drawing.
    """

    def __init__(
        self, stream: TextIO, before: Callable[[], None], after: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._before = before
        self._after = after
        self._name = ""
        self._live: Live | None = None
        self._running: dict[Cell, float] = {}
        self._done = self._total = 0

    def begin(self, name: str) -> None:
        """An item starts."""
        self._name = name
        self._running.clear()

    def note(self, event: Event) -> None:
        """A cell starts or settles."""
        self._done, self._total = event.done, event.total
        if event.what == "started":
            self._running[event.cell] = time.monotonic()
            if self._live is None:
                self._start()
        else:
            self._running.pop(event.cell, None)

    def end(self) -> None:
        """The item is over: wipe the display."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._after()

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._before()
        self._live = Live(
            console=Console(file=self._stream, force_terminal=True),
            get_renderable=self._drawing,
            refresh_per_second=_REFRESH_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _drawing(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        head = Table.grid(padding=(0, 1))
        count = f"{self._done} of {self._total} cells"
        bar = ProgressBar(total=max(self._total, 1), completed=self._done, width=30)
        head.add_row(Text(self._name, style="bold"), bar, count)
        now = time.monotonic()
        # A copy, since the display draws from a thread of its own.
        running = list(self._running.items())
        lines = [
            Text(f"  {cell_name(cell)}  {duration_text(now - since)}", style="dim")
            for cell, since in running[:_RUNNING_SHOWN]
        ]
        if len(running) > _RUNNING_SHOWN:
            lines.append(Text(f"  and {len(running) - _RUNNING_SHOWN} more", style="dim"))
        return Group(head, *lines)
