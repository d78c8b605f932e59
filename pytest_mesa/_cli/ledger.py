"""``mesa verify`` and ``mesa results``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_mesa._cli.common import UserError, out
from pytest_mesa.ledger.append import read
from pytest_mesa.ledger.results import render
from pytest_mesa.ledger.verify import verify as problems_of
from pytest_mesa.registry.files import write_atomically

DAMAGED = 12


def verify(options: argparse.Namespace) -> int:
    """Check the ledger, then its rendering."""
    ledger, results = _files(options)
    problems = problems_of(ledger)
    for problem in problems:
        line = f":{problem.line}" if problem.line else ""
        out(f"{ledger}{line}: {problem.message}")
    if problems:
        out(f"{len(problems)} problems: restore the ledger from version control")
        return DAMAGED
    records = read(ledger)
    out(f"{ledger}: {len(records)} records, the chain holds")
    try:
        rendered = results.read_bytes()
    except OSError as error:
        out(f"{results}: can't be read ({error.strerror}); 'mesa results' renders it")
        return DAMAGED
    if rendered != render(records).encode():
        out(f"{results}: is not the rendering of {ledger}; 'mesa results' renders it anew")
        return DAMAGED
    out(f"{results}: is its rendering")
    return 0


def results(options: argparse.Namespace) -> int:
    """Render the ledger."""
    ledger, path = _files(options)
    try:
        write_atomically(path, render(read(ledger)))
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})", DAMAGED) from None
    out(f"wrote {path}")
    return 0


def _files(options: argparse.Namespace) -> tuple[Path, Path]:
    ledger: Path = options.ledger
    if not ledger.is_file():
        raise UserError(f"{ledger}: there is no such ledger; pytest --mesa-predictions starts one")
    results: Path = options.results or ledger.with_name("RESULTS.md")
    return ledger, results
