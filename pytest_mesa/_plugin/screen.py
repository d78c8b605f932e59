"""Progress on pytest's terminal, past its capture of output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

import pytest

from pytest_mesa._plugin.lab import Progress, Silent
from pytest_mesa.report.progress import LiveProgress, PlainProgress

_UP = "\x1b[1A"
_UP_AND_ERASE = "\x1b[1A\r\x1b[2K"


def make_progress(config: pytest.Config) -> Progress:
    """A live display on a terminal, lines elsewhere, nothing under ``-q`` or without a terminal.

    Called while output is not captured, since a live display keeps its own way to the terminal.
    """
    if config.get_verbosity() < 0 or config.option.collectonly:
        return Silent()
    screen = _Screen(config)
    terminal = _own_terminal()
    if terminal is None:
        return _Lines(screen)
    config.add_cleanup(terminal.close)
    return _Live(screen, terminal)


def _own_terminal() -> TextIO | None:
    """Another handle of the terminal that standard output is, if it is one."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    descriptor = os.dup(sys.stdout.fileno())
    return open(descriptor, "w", encoding=sys.stdout.encoding, buffering=1)  # noqa: PTH123


class _Screen:
    """pytest's own reporter, reached while an item runs."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._broken_off = False

    def line(self, text: str) -> None:
        """Write on a line of its own, below what pytest has begun."""
        with self._reporter() as reporter:
            if reporter is None:
                return
            if not self._broken_off:
                reporter.ensure_newline()
                self._broken_off = True
                reporter.write(text)
            else:
                reporter.write("\n" + text)
            reporter.flush()

    def break_off(self) -> None:
        """Leave the line that pytest has begun."""
        with self._reporter() as reporter:
            if reporter is not None:
                reporter.ensure_newline()
                reporter.flush()
        self._broken_off = True

    def resume(self, nodeid: str) -> None:
        """Let pytest go on with a line of its own."""
        if not self._broken_off:
            return
        self._broken_off = False
        with self._reporter() as reporter:
            # In its verbose form pytest begins the line again by itself.
            if reporter is not None and self._config.get_verbosity() == 0:
                reporter.write_fspath_result(nodeid, "")
                reporter.flush()

    @contextmanager
    def _reporter(self) -> Iterator[pytest.TerminalReporter | None]:
        plugins = self._config.pluginmanager
        reporter = cast("pytest.TerminalReporter | None", plugins.get_plugin("terminalreporter"))
        capture = plugins.get_plugin("capturemanager")
        if capture is None:
            yield reporter
            return
        with capture.global_and_fixture_disabled():
            yield reporter


class _Lines(PlainProgress):
    """Plain lines, then pytest's line again."""

    def __init__(self, screen: _Screen) -> None:
        super().__init__(screen.line)
        self._screen = screen
        self._nodeid = ""

    def begin(self, name: str) -> None:
        """An item starts."""
        super().begin(name.rpartition("::")[2])
        self._nodeid = name

    def end(self) -> None:
        """The item is over."""
        self._screen.resume(self._nodeid)


class _Live(LiveProgress):
    """The live display in the place of the line that pytest has begun."""

    def __init__(self, screen: _Screen, terminal: TextIO) -> None:
        super().__init__(terminal, self._enter, self._leave)
        self._screen = screen
        self._terminal = terminal
        self._nodeid = ""

    def begin(self, name: str) -> None:
        """An item starts."""
        super().begin(name.rpartition("::")[2])
        self._nodeid = name

    def _enter(self) -> None:
        self._screen.break_off()
        self._terminal.write(_UP_AND_ERASE)
        self._terminal.flush()

    def _leave(self) -> None:
        # pytest begins its line with a line feed.
        self._terminal.write(_UP)
        self._terminal.flush()
        self._screen.resume(self._nodeid)
