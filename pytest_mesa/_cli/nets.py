"""``mesa train``, ``reproduce`` and ``subjects``."""

from __future__ import annotations

import argparse
from dataclasses import asdict, is_dataclass
from typing import Any

from pytest_mesa._cli.common import UserError, out
from pytest_mesa._paths import shipped


def train(options: argparse.Namespace) -> int:
    """Train one net."""
    from pytest_mesa.runs.store import Store
    from pytest_mesa.subjects import catalog

    if options.seed < 0:
        raise UserError(f"--seed: {options.seed} is negative", 2)
    store = Store(options.cache_dir)
    catalog.train(options.recipe, options.seed, store, freeze_to=options.freeze, on_line=out)
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """Replay the training of frozen nets."""
    from pytest_mesa.subjects import catalog

    same = catalog.reproduce(options.name, full=options.full, on_line=out)
    return 0 if same else 1


def subjects(options: argparse.Namespace) -> int:
    """List what specs can name."""
    del options
    from rich.console import Console
    from rich.table import Table

    from pytest_mesa.subjects import catalog

    rows = [_values(row) for row in catalog.listing()]
    if not rows:
        raise UserError(f"there are no subjects; frozen ones belong in {shipped('fixtures')}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(highlight=False).print(table)
    return 0


def _values(row: Any) -> dict[str, Any]:
    return asdict(row) if is_dataclass(row) and not isinstance(row, type) else dict(row._asdict())
