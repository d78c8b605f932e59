"""``mesa amend``: change a registered spec in the open."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from pytest_mesa._cli.common import UserError, out, places
from pytest_mesa.ledger.append import append, read
from pytest_mesa.ledger.results import render
from pytest_mesa.registry.errors import did_you_mean
from pytest_mesa.registry.files import write_atomically
from pytest_mesa.registry.loader import LoadedPrediction, collect
from pytest_mesa.registry.lock import Lock, LockStatus, read_lock, status, write_lock

USAGE, DAMAGED = 2, 12


def amend(options: argparse.Namespace) -> int:
    """Record why a locked spec has changed, and lock it as it is now."""
    reason = " ".join(options.why.split())
    if not reason:
        raise UserError("--why: an amendment says why the spec has changed", USAGE)
    paths, lock_path, root = places([])
    spec = _spec(options.claim, paths, root)
    lock = read_lock(lock_path)
    before = _before(spec, lock, lock_path)
    ledger: Path = options.ledger
    if ledger.exists():
        read(ledger)  # what can't be rendered afterwards takes no amendment
    append(
        ledger,
        {
            "kind": "amend",
            "prediction": spec.id,
            "reason": reason,
            "spec_sha": spec.sha,
            "was": before,
        },
    )
    out(f"{ledger}: amended {spec.id}  {before[:12]} -> {spec.sha[:12]}")
    _write(lock_path, lambda: write_lock(lock_path, [spec], lock), f"mesa lock {spec.name}")
    results: Path = options.results or ledger.with_name("RESULTS.md")
    _write(results, lambda: write_atomically(results, render(read(ledger))), "mesa results")
    return 0


def _spec(claim: str, paths: list[Path], root: Path) -> LoadedPrediction:
    """The sound spec of that id.

    Raises:
        UserError: there is none, or its file has errors.
    """
    found = collect(paths, root)
    by_id = {spec.id: spec for spec in found.loaded}
    if claim in by_id:
        return by_id[claim]
    broken = f" ({len(found.errors)} files have errors: mesa check)" if found.errors else ""
    hint = did_you_mean(claim, by_id) or f"there are {', '.join(by_id) or 'none'}"
    raise UserError(f"there is no prediction '{claim}'; {hint}{broken}")


def _before(spec: LoadedPrediction, lock: Lock, lock_path: Path) -> str:
    """The hash that the spec was locked with, where it has another one now.

    Raises:
        UserError: it was not locked, or has not changed.
    """
    match status(spec, lock):
        case LockStatus.UNLOCKED:
            raise UserError(
                f"{spec.id} is not in {lock_path.name}, so there is nothing to amend; "
                f"'mesa lock {spec.name}' registers it"
            )
        case LockStatus.LOCKED:
            raise UserError(f"{spec.id} is as {lock_path.name} has it: there is nothing to amend")
        case LockStatus.DIFFERS:
            return lock.predictions[spec.id].sha


def _write(path: Path, write: Callable[[], object], remedy: str) -> None:
    """Write what follows from the ledger.

    Raises:
        UserError: that is not possible; the amendment stands.
    """
    try:
        write()
    except OSError as error:
        raise UserError(
            f"{path}: can't be written ({error.strerror}); the amendment is recorded, and "
            f"'{remedy}' does the rest",
            DAMAGED,
        ) from None
    out(f"wrote {path.name}")
