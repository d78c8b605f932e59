"""``mesa new``, ``check``, ``lock``, ``show`` and ``schema``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_mesa._cli.common import UserError, out, places
from pytest_mesa.registry.discovery import installed
from pytest_mesa.registry.errors import SpecErrors, did_you_mean
from pytest_mesa.registry.files import write_atomically
from pytest_mesa.registry.loader import SUFFIXES, Collection, LoadedPrediction, collect, load
from pytest_mesa.registry.lock import Lock, LockStatus, read_lock, status, write_lock

LOCK_DIFFERS = 11

_STANDING = {
    LockStatus.LOCKED: "locked",
    LockStatus.DIFFERS: "differs from its lock: verdicts will be exploratory",
    LockStatus.UNLOCKED: "not locked: verdicts will be exploratory",
}


def new(options: argparse.Namespace) -> int:
    """Write a new spec."""
    from pytest_mesa.registry.template import new_prediction

    path: Path = options.dir / f"{options.id}.yaml"
    try:
        text = new_prediction(options.id)
    except ValueError as error:
        raise UserError(str(error), 2) from None
    if path.exists():
        raise UserError(f"{path} exists already; choose another id, or edit it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from None
    out(f"wrote {path}")
    out("Edit the marked lines, then:")
    out(f"  mesa check {path}")
    out("  mesa lock")
    out(f"  pytest --mesa-predictions {path}")
    return 0


def check(options: argparse.Namespace) -> int:
    """List errors, and how the sound specs stand to the lock."""
    paths, lock_path, root = places(options.paths)
    lock = read_lock(lock_path)
    found = _found(paths, root)
    troubles = [*found.errors]
    if found.loaded:
        from pytest_mesa._cli.dry import dry_plan

        troubles += filter(None, map(dry_plan, found.loaded))
    faulty = {errors.file for errors in troubles}
    width = max((len(spec.id) for spec in found.loaded), default=0)
    sound = [spec for spec in found.loaded if spec.name not in faulty]
    for spec in sound:
        out(f"{spec.id:<{width}}  {_STANDING[status(spec, lock)]}  ({spec.name})")
    for errors in troubles:
        out(errors.render())
    out(f"{len(sound)} sound, {len(troubles)} with errors")
    return int(bool(troubles))


def lock(options: argparse.Namespace) -> int:
    """Write the lock, or compare with it."""
    paths, lock_path, root = places(options.paths)
    found = _found(paths, root)
    for errors in found.errors:
        out(errors.render())
    if found.errors:
        raise UserError("nothing is locked while a spec has errors")
    old = read_lock(lock_path)
    changes = _changes(old, found.loaded, whole=not options.paths)
    for change in changes:
        out(change)
    if not changes:
        out(f"{lock_path.name} is that of all {len(found.loaded)} specs")
        return 0
    if options.check:
        out(f"{lock_path.name} is not that of the specs; 'mesa lock' registers them as they are")
        return LOCK_DIFFERS
    try:
        write_lock(lock_path, found.loaded, old if options.paths else None)
    except OSError as error:
        raise UserError(f"{lock_path}: can't be written ({error.strerror})") from None
    out(f"wrote {lock_path.name}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Print one prediction as a card."""
    from pytest_mesa.registry.show import describe

    given: str = options.what
    if given.endswith(SUFFIXES) or Path(given).is_file():
        try:
            spec = load(given)
        except SpecErrors as errors:
            raise UserError(errors.render()) from None
        lock_path = Path("mesa.lock")
    else:
        paths, lock_path, root = places([])
        found = _found(paths, root)
        by_id = {spec.id: spec for spec in found.loaded}
        if given not in by_id:
            hint = did_you_mean(given, by_id) or f"there are {', '.join(by_id) or 'none'}"
            broken = f" ({len(found.errors)} files have errors: mesa check)" if found.errors else ""
            raise UserError(f"there is no prediction '{given}'; {hint}{broken}")
        spec = by_id[given]
    out(describe(spec, status(spec, read_lock(lock_path))).rstrip())
    return 0


def schema(options: argparse.Namespace) -> int:
    """Print or write the schema."""
    from pytest_mesa.registry.schema import schema_text

    text = schema_text(installed() if options.installed else None)
    if options.output is None:
        out(text.rstrip())
        return 0
    try:
        write_atomically(options.output, text)
    except OSError as error:
        raise UserError(f"{options.output}: can't be written ({error.strerror})") from None
    out(f"wrote {options.output}")
    return 0


def _found(paths: list[Path], root: Path) -> Collection:
    found = collect(paths, root)
    if not found:
        raise UserError(f"no spec (.yaml) in {', '.join(map(str, paths))}; mesa new ID starts one")
    return found


def _changes(old: Lock, specs: tuple[LoadedPrediction, ...], *, whole: bool) -> list[str]:
    """One line for each spec that the lock does not have as it is."""
    changes = []
    for spec in specs:
        how = status(spec, old)
        if how is LockStatus.DIFFERS:
            before = old.predictions[spec.id].sha
            changes.append(f"changed  {spec.id}  {before[:12]} -> {spec.sha[:12]}")
        elif how is LockStatus.UNLOCKED:
            changes.append(f"new      {spec.id}  {spec.sha[:12]}")
    if whole:
        present = {spec.id for spec in specs}
        changes += [f"gone     {name}" for name in old.predictions if name not in present]
    return changes
