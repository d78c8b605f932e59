"""YAML files in, predictions out, or every error in them with its position."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_mesa.registry.canonical import spec_sha
from pytest_mesa.registry.errors import SpecError, SpecErrors
from pytest_mesa.registry.models import Prediction
from pytest_mesa.registry.nodes import parse
from pytest_mesa.registry.source import decoded, read_bytes, screened, unreadable
from pytest_mesa.registry.validate import validated

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class LoadedPrediction:
    """A prediction, where it was read from, and the hash of what it says.

    ``line`` is that of the ``prediction:`` key, 1-based. ``name`` is the file as messages and
    records show it.
    """

    prediction: Prediction
    path: Path
    line: int
    sha: str
    name: str

    @property
    def id(self) -> str:
        """The prediction's id."""
        return self.prediction.prediction


@dataclass(frozen=True, slots=True)
class Collection:
    """What was found: predictions in the order of their files, and one `SpecErrors` a bad file."""

    loaded: tuple[LoadedPrediction, ...]
    errors: tuple[SpecErrors, ...]

    def __bool__(self) -> bool:
        return bool(self.loaded or self.errors)


def load(path: str | os.PathLike[str], name: str | None = None) -> LoadedPrediction:
    """Read one spec. ``name`` is how messages call the file (the path as given).

    Raises:
        SpecErrors: all that is wrong with the file, each with its position.
    """
    path = Path(path)
    name = str(path) if name is None else name
    return load_text(decoded(read_bytes(path, name), name), name, path)


def load_text(text: str, file: str = "<text>", path: Path | None = None) -> LoadedPrediction:
    """Read one spec from its text. ``file`` is how messages call it.

    Raises:
        SpecErrors: all that is wrong with the text, each with its position.
    """
    source = screened(text, file)
    data, root = parse(source)
    if not isinstance(data, dict):
        message = "expected a mapping with the key 'prediction'"
        raise SpecErrors([source.error(message, root.line, root.col, "try: mesa new ID")])
    prediction = validated(data, root, source)
    line = root.children["prediction"].name[0]
    return LoadedPrediction(prediction, path or Path(file), line, spec_sha(prediction), file)


def located(loaded: LoadedPrediction, message: str, at: tuple[str | int, ...] = ()) -> SpecErrors:
    """An error in a spec that reads well, at the entry that ``at`` leads to from its top."""
    source = screened(decoded(read_bytes(loaded.path, loaded.name), loaded.name), loaded.name)
    _, node = parse(source)
    line, col = loaded.line, 1
    for step in at:
        if step not in node.children:
            break
        node = node.children[step]
        line, col = node.name if node.children else (node.line, node.col)
    return SpecErrors([source.error(message, line, col)])


def collect(
    paths: Iterable[str | os.PathLike[str]], root: str | os.PathLike[str] | None = None
) -> Collection:
    """Load every spec in the given files and folders; a bad one never hides the others.

    A folder is walked in sorted order for ``*.yaml`` and ``*.yml``, hidden entries skipped; a
    file that is reached twice counts once. Files below ``root`` are named relative to it in
    messages and records. Two specs with one id are both errors that name each other.
    """
    base = None if root is None else Path(root).absolute()
    loaded: list[LoadedPrediction] = []
    errors: list[SpecErrors] = []
    seen: set[str] = set()
    for found in _files(paths):
        if isinstance(found, SpecErrors):
            errors.append(found)
            continue
        real = os.path.realpath(found)
        if real in seen:
            continue
        seen.add(real)
        try:
            loaded.append(load(found, _name(found, base)))
        except SpecErrors as error:
            errors.append(error)
    unique, clashes = _without_clashes(loaded)
    return Collection(tuple(unique), (*errors, *clashes))


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path | SpecErrors]:
    for given in paths:
        path = Path(given)
        if not path.is_dir():
            yield path
            continue
        troubles: list[OSError] = []
        for folder, folders, names in os.walk(path, onerror=troubles.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.endswith(SUFFIXES) and not name.startswith("."):
                    yield Path(folder, name)
        for trouble in troubles:
            yield SpecErrors([unreadable(trouble, str(trouble.filename or path))])


def _name(path: Path, base: Path | None) -> str:
    absolute = path.absolute()
    if base is not None and absolute.is_relative_to(base):
        return absolute.relative_to(base).as_posix()
    return str(path)


def _without_clashes(
    loaded: list[LoadedPrediction],
) -> tuple[list[LoadedPrediction], list[SpecErrors]]:
    by_id: dict[str, list[LoadedPrediction]] = {}
    for spec in loaded:
        by_id.setdefault(spec.id, []).append(spec)
    unique = [spec for spec in loaded if len(by_id[spec.id]) == 1]
    clashes = [
        SpecErrors([_clash(spec, next(other for other in same if other is not spec))])
        for same in by_id.values()
        if len(same) > 1
        for spec in same
    ]
    return unique, clashes


def _clash(spec: LoadedPrediction, other: LoadedPrediction) -> SpecError:
    return SpecError(
        f"the id '{spec.id}' is also that of {other.name}:{other.line}",
        spec.name,
        spec.line,
        *(1, f"prediction: {spec.id}"),
        hint="rename one of them",
    )
