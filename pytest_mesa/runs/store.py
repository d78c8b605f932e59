"""The content-addressed store of finished cells: one writable folder over read-only layers.

An entry is a folder ``<root>/<key[:2]>/<key>/`` that appears by one rename, complete and
synced, so a reader sees all of it or nothing. Whatever a killed process leaves behind lies
in ``<root>/tmp`` and belongs to a cell whose claim nobody holds any more.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_mesa.runs.cells import Cell, Json, Result, canonical
from pytest_mesa.runs.entries import (
    ENTRY,
    MANIFEST,
    DamagedError,
    PayloadError,
    StoreError,
    entry,
    explained,
    hashes,
    load,
    plain,
    read,
    sync,
    sync_tree,
)

__all__ = ["ENTRY", "MANIFEST", "Claim", "PayloadError", "Store", "StoreError"]

_log = logging.getLogger(__name__)


class Store:
    """Results by cell key. ``layers`` are flat read-only folders (``fixtures/``) asked first."""

    def __init__(self, root: Path, layers: Sequence[Path] = ()) -> None:
        self.root = Path(root)
        self.layers = tuple(Path(layer) for layer in layers)

    def get(self, cell: Cell) -> Result | None:
        """The stored result, its files checked against their hashes; None where there is none.

        A damaged entry of the writable folder counts as none (`Claim.commit` replaces it).

        Raises:
            StoreError: a damaged entry in a read-only layer; the message names the file.
        """
        frozen = self._frozen.get(cell.key)
        if frozen is not None:
            try:
                return read(frozen, MANIFEST, cell.key)
            except DamagedError as damage:
                raise StoreError(
                    f"{damage}; restore it from version control, or delete {frozen} "
                    "to have it computed again"
                ) from damage
        folder = self.folder(cell)
        try:
            return read(folder, ENTRY, cell.key)
        except FileNotFoundError:
            return None
        except DamagedError as damage:
            _log.warning("%s; it will be computed again", damage)
            return None

    def put(self, cell: Cell, payload: Json, files: Mapping[str, Path] | None = None) -> Result:
        """Store a payload and copies of ``files``; where the cell is stored already, that wins.

        Raises:
            StoreError: full disk or unwritable folder.
            PayloadError: the payload is not finite JSON.
        """
        with self.claim(cell) as claim:
            for name, source in (files or {}).items():
                target = claim.folder / name
                with explained(self.root):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
            return claim.commit(payload)

    @contextmanager
    def claim(self, cell: Cell) -> Iterator[Claim]:
        """Hold the only right to compute ``cell``, waiting while another process has it.

        The claim ends with its process, however that ends. After waiting, look with `get`:
        the other process may have finished.

        Raises:
            StoreError: the folder can't be written.
        """
        with explained(self.root):
            self._tmp.mkdir(parents=True, exist_ok=True)
            lock = self._lock(cell.key)
            lock.acquire()
        try:
            with explained(self.root):
                self._sweep(cell.key)
                folder = Path(tempfile.mkdtemp(prefix=f"{cell.key}-", dir=self._tmp))
            try:
                yield Claim(self, cell, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()

    def sweep(self) -> int:
        """Remove what killed processes left half-made; returns how many folders went."""
        removed = 0
        for key in sorted({path.name.partition("-")[0] for path in _children(self._tmp)}):
            lock = self._lock(key)
            try:
                lock.acquire(timeout=0)
            except (Timeout, OSError):
                continue
            try:
                removed += self._sweep(key)
            finally:
                lock.release()
        return removed

    def freeze(self, cell: Cell, folder: Path, about: Mapping[str, Json]) -> Path:
        """Copy a stored result into ``folder`` as a read-only layer's entry.

        ``about`` (how it was made) is kept in the manifest beside key, payload and hashes.

        Raises:
            StoreError: the cell is not stored, or ``folder`` can't be written.
        """
        result = self.get(cell)
        if result is None:
            raise StoreError(f"{cell.label or cell.key} is not in {self.root}: compute it first")
        files = hashes(result.folder, skip=(ENTRY, MANIFEST))
        with explained(folder):
            for name in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(result.folder / name, folder / name)
            body = dict(about) | entry(cell.key, result.payload, files)
            text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        return folder / MANIFEST

    def folder(self, cell: Cell) -> Path:
        """Where the writable folder keeps (or would keep) the cell."""
        return self.root / cell.key[:2] / cell.key

    @property
    def _tmp(self) -> Path:
        return self.root / "tmp"

    def _lock(self, key: str) -> FileLock:
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{key}.lock")

    def _sweep(self, key: str) -> int:
        """Remove a cell's half-made folders; only its claim's holder may call this."""
        stale = [path for path in _children(self._tmp) if path.name.startswith(f"{key}-")]
        for path in stale:
            shutil.rmtree(path, ignore_errors=True)
        return len(stale)

    @cached_property
    def _frozen(self) -> dict[str, Path]:
        """Folders of the read-only layers by cell key; an earlier layer wins."""
        index: dict[str, Path] = {}
        for layer in self.layers:
            for manifest in sorted(layer.glob(f"*/{MANIFEST}")):
                key = load(manifest).get("key")
                if isinstance(key, str):
                    index.setdefault(key, manifest.parent)
        return index


class Claim:
    """The right to compute one cell, and an empty folder for its files."""

    def __init__(self, store: Store, cell: Cell, folder: Path) -> None:
        self.store = store
        self.cell = cell
        self.folder = folder

    def commit(self, payload: Json) -> Result:
        """Make the folder and ``payload`` the cell's result, durably and all at once.

        Raises:
            StoreError: full disk or unwritable folder; nothing is stored then.
            PayloadError: the payload is not finite JSON.
        """
        payload = plain(payload)
        target = self.store.folder(self.cell)
        with explained(self.store.root):
            body = entry(self.cell.key, payload, hashes(self.folder)) | {
                "kind": self.cell.kind,
                "version": self.cell.version,
                "label": self.cell.label,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            (self.folder / ENTRY).write_bytes(canonical(body))
            sync_tree(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            won = self._rename(target)
            sync(target.parent)
        if won:
            return Result(self.cell.key, payload, target)
        first = self.store.get(self.cell)
        if first is None:
            raise StoreError(f"{target} keeps changing while it is written: is a sync tool at it?")
        return first

    def _rename(self, target: Path) -> bool:
        """Move into place; False where a sound entry is there already."""
        for _ in range(2):
            try:
                self.folder.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if self.store.get(self.cell) is not None:
                    return False
                aside = Path(tempfile.mkdtemp(prefix=f"{self.cell.key}-", dir=self.store._tmp))
                target.rename(aside / "damaged")
                shutil.rmtree(aside, ignore_errors=True)
            else:
                return True
        return False


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
