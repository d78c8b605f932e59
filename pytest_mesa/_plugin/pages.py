"""The pages that a session leaves beside its ledger: RESULTS.md, and a report if asked for."""

from __future__ import annotations

from pathlib import Path

from pytest_mesa._plugin.options import Options
from pytest_mesa.ledger.append import read
from pytest_mesa.ledger.index import scan
from pytest_mesa.registry.files import write_atomically


class PageError(Exception):
    """A page that can't be written; the message says which, and why."""


def write_pages(options: Options) -> None:
    """Bring RESULTS.md up to date, which is left alone where it is, and write the report.

    Raises:
        PageError: one of them can't be written.
        LedgerError: the ledger is damaged.
    """
    from pytest_mesa.ledger.results import render

    _write(options.results, render(read(options.ledger)))
    if options.report is not None:
        from pytest_mesa.report import html

        _write(options.report, html.render(scan(options.ledger)))


def shown(path: Path, root: Path) -> str:
    """A path as messages name it: relative to the root directory where it lies in it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _write(path: Path, text: str) -> None:
    try:
        if not path.exists() or path.read_bytes() != text.encode():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
    except OSError as error:
        raise PageError(f"{path}: can't be written ({error.strerror or error})") from error
