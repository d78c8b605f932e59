"""Spec files and the items in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mesa._plugin.items import PredictionItem
from pytest_mesa._plugin.options import Options, file_name, is_spec_file
from pytest_mesa.registry.discovery import find_kind
from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.loader import LoadedPrediction, load
from pytest_mesa.registry.nodes import parse
from pytest_mesa.registry.source import decoded, read_bytes, screened

# pytest acts on these markers, which would let a tag turn a verdict into a skip or an xfail.
_PYTESTS_OWN = frozenset(
    {"skip", "skipif", "xfail", "parametrize", "usefixtures", "filterwarnings"}
    | {"tryfirst", "trylast", "mesa", "released"}
)
_SPEC_KEY = re.compile(
    rb"""^["']?(prediction|claim|subjects|competence|experiment|controls|verdict)["']?\s*:""",
    re.MULTILINE,
)


class Collector:
    """Turns YAML files into `PredictionFile` nodes."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._by_id: dict[str, LoadedPrediction] = {}
        self.files = 0

    @pytest.hookimpl
    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> PredictionFile | None:
        """Take every YAML file of the registry, and elsewhere those that look like specs."""
        if not is_spec_file(file_path) or file_path.name.startswith("."):
            return None
        sure = parent.session.isinitpath(file_path) or any(
            file_path.is_relative_to(folder) for folder in self._options.folders
        )
        if not sure and _is_other_yaml(file_path):
            return None
        self.files += 1
        name = file_name(file_path, self._options.root)
        inside = file_path.is_relative_to(self._options.root)
        # pytest would name a file outside the rootdir by its last part alone, which --lf and
        # the controller of a lost worker could not find again.
        nodeid = name if inside else os.path.relpath(file_path, self._options.root)
        node: PredictionFile = PredictionFile.from_parent(
            parent, path=file_path, nodeid=nodeid, name=name
        )
        node.spec_name = name
        node.collector = self
        return node

    @pytest.hookimpl
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave ordinary tests alone where the user named no paths."""
        if self._options.paths_given or collection_path.is_dir():
            return None
        return None if is_spec_file(collection_path) else True

    def items(self, file: PredictionFile) -> Iterator[PredictionItem]:
        """Load the file and make its items: its own line-up, and one a model that fills a slot.

        Where the kind gathers models, those that are no ladder yet make one together.

        Raises:
            SpecErrors: the file is no spec, or its id is taken.
        """
        loaded = load(file.path, file.spec_name)
        first = self._by_id.setdefault(loaded.id, loaded)
        if first.path != loaded.path:
            raise pytest.Collector.CollectError(
                f"{loaded.name}:{loaded.line}:1: the id '{loaded.id}' is also that of "
                f"{first.name}:{first.line}; rename one of them"
            )
        _check_tags(loaded)
        slots = [bool(subject.released) for subject in loaded.prediction.subjects]
        kind = find_kind(loaded.prediction.experiment.kind)
        models = self._options.gathered if kind.gathers else self._options.models
        filled = list(models.items()) if any(slots) else []
        own: list[tuple[str, str | None]] = [] if filled and all(slots) else [("", None)]
        for short, ref in [*own, *filled]:
            name = f"{loaded.id}[{short}]" if short else loaded.id
            item: PredictionItem = PredictionItem.from_parent(
                file, name=name, loaded=loaded, model_ref=ref
            )
            for tag in loaded.prediction.tags:
                _register(file.config, tag)
                item.add_marker(tag)
            item.add_marker("mesa")
            if ref:
                item.add_marker("released")
            yield item


class PredictionFile(pytest.File):
    """One YAML file."""

    spec_name: str
    collector: Collector

    def collect(self) -> Iterator[PredictionItem]:
        """The file's items; whatever is wrong with it is shown with its position."""
        try:
            yield from self.collector.items(self)
        except SpecErrors as error:
            raise self.CollectError(error.render()) from None


def _is_other_yaml(path: Path) -> bool:
    """Whether a YAML file outside the registry clearly is something else than a spec.

    What does not parse cannot be told from a broken spec, so it counts as one.
    """
    name = str(path)
    try:
        data = read_bytes(path, name)
        if _SPEC_KEY.search(data):
            return False
        parse(screened(decoded(data, name), name))
    except SpecErrors:
        return False
    return True


def _check_tags(loaded: LoadedPrediction) -> None:
    for tag in loaded.prediction.tags:
        if tag in _PYTESTS_OWN:
            raise pytest.Collector.CollectError(
                f"{loaded.name}:{loaded.line}:1: the tag '{tag}' is a marker with a meaning "
                "of its own in pytest; choose another"
            )


def _register(config: pytest.Config, tag: str) -> None:
    """Make the tag known, for --strict-markers and --markers."""
    line = f"{tag}: predictions tagged {tag}"
    markers: list[Any] = config.getini("markers")
    if line not in markers:
        config.addinivalue_line("markers", line)
