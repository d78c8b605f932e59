"""What the subcommands share: output, the user's errors, and where specs are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mesa._paths import shipped

if TYPE_CHECKING:
    from pytest_mesa.ledger.index import Index


class UserError(Exception):
    """Something for the user to mend; ends the command with ``status``."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def user_errors() -> tuple[type[Exception], ...]:
    """Exceptions whose message is meant for the user as it is."""
    from pytest_mesa.ledger.errors import LedgerError
    from pytest_mesa.registry.lock import LockError
    from pytest_mesa.runs.store import StoreError
    from pytest_mesa.subjects.errors import SubjectError

    return (LedgerError, LockError, StoreError, SubjectError)


def out(text: str = "") -> None:
    """Write one line to standard output."""
    sys.stdout.write(text + "\n")


def places(paths: Sequence[Path]) -> tuple[list[Path], Path, Path]:
    """The paths to look for specs in, the lock that goes with them, and their root.

    Raises:
        UserError: a path that is not there, or no registry anywhere.
    """
    here = Path.cwd()
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: there is no such file or directory", 2)
    if paths:
        return list(paths), here / "mesa.lock", here
    if (here / "predictions").is_dir():
        return [here / "predictions"], here / "mesa.lock", here
    registry = shipped("predictions")
    if not registry.is_dir():
        raise UserError("there is no directory 'predictions' here; name the specs to look at", 2)
    return [registry], shipped("mesa.lock"), registry.parent


def open_ledger(path: Path) -> Index:
    """The ledger that a command reads.

    Raises:
        UserError: there is none.
        LedgerError: it is damaged.
    """
    from pytest_mesa.ledger.index import scan

    if not path.is_file():
        raise UserError(f"{path}: there is no such ledger; pytest --mesa-predictions starts one")
    return scan(path)
