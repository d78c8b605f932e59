"""``mesa report``."""

from __future__ import annotations

import argparse

from pytest_mesa._cli.common import UserError, open_ledger, out
from pytest_mesa.registry.files import write_atomically


def report(options: argparse.Namespace) -> int:
    """Write the ledger as one HTML file."""
    from pytest_mesa.report.html import render

    page = render(open_ledger(options.ledger))
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.output, page)
    except OSError as error:
        raise UserError(f"{options.output}: can't be written ({error.strerror})") from None
    out(f"wrote {options.output}")
    return 0
