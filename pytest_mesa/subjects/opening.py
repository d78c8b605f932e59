"""A model by its reference alone: for notebooks, benchmarks and scripts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.compute import Failure
from pytest_mesa.runs.execute import LocalExecutor
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.device import Precision
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.schemes import handles


def open_model(
    reference: str, cache_dir: Path = Path(".mesa-cache"), *, precision: Precision = "exact"
) -> Any:
    """Load what ``--mesa-model`` would load, into this process.

    Args:
        reference: any model reference; ``bundled:smollm2-135m``, say.
        cache_dir: the store of finished cells, where converted weights are kept.
        precision: as for `load`.

    Raises:
        SubjectError: it does not exist, can't be read, or does not fit.
    """
    (handle,) = handles(SubjectSpec(released=True), reference)
    with LocalExecutor(Store(cache_dir), workers=0) as executor:
        outcomes = executor.run(handle.inputs)
    results = []
    for cell, outcome in outcomes.items():
        if isinstance(outcome, Failure):
            raise SubjectError(outcome.root.message)
        results.append(replace(outcome, context=cell.context))
    return load(handle.params, tuple(results), precision=precision)
