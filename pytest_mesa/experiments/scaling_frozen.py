"""What a ladder's nets measured, kept without the nets: hundreds are too many to ship."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pytest_mesa.experiments.scaling import STUDY
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.errors import SubjectError

KIND = "measurements"


def gathered(prediction: Prediction) -> Iterator[Cell]:
    """The cells that gather a prediction's ladders; planted ones hold no nets and take no time."""
    for measured in STUDY.plan(prediction).cells:
        yield from (part for part in measured.inputs if part.kind == "ladder")


def freeze(prediction: Prediction, store: Store, folder: Path) -> list[Path]:
    """Keep a prediction's measured ladders as entries of a read-only layer.

    A manifest names every net by its cell, so that anybody can make and measure it again.

    Raises:
        SubjectError: the prediction has no ladder of nets, or one was not measured yet.
        StoreError: ``folder`` can't be written.
    """
    # Saved nets are somebody's files, and stay what they are.
    cells = [cell for cell in gathered(prediction) if _made_here(cell)]
    if not cells:
        raise SubjectError(f"{prediction.prediction} follows no ladder of nets made here")
    for cell in cells:
        if store.get(cell) is None:
            raise SubjectError(
                f"{cell.label}: not measured yet, or not with {store.root}; run "
                f"pytest --mesa-predictions --mesa-retrain, and name its cache by --cache-dir"
            )
    return [store.freeze(cell, folder / _name(cell), _about(cell)) for cell in cells]


def _name(cell: Cell) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", cell.label.partition("·")[2].lower()).strip("-")
    # Predictions may follow the same ladder on other seeds, or exchange states in it.
    seeds = [training.params["seed"] for training in _trainings(cell)]
    which = f"-seeds-{min(seeds)}-to-{max(seeds)}" if seeds else ""
    more = "-with-states" if any(each.kind == "ladder-state" for each in cell.inputs) else ""
    return f"measured-{words}{which}{more}"


def _made_here(cell: Cell) -> bool:
    """Whether all nets are trained here, or compiled, which takes no cell."""
    return all(made.kind == "train" for net in cell.inputs for made in net.inputs)


def _trainings(cell: Cell) -> list[Cell]:
    """A ladder's nets, each once: one may have been measured in more than one cell."""
    trained = (made for net in cell.inputs for made in net.inputs if made.kind == "train")
    return list(dict.fromkeys(trained))


def _about(cell: Cell) -> dict[str, object]:
    return {
        "kind": KIND,
        "made_by": "mesa fixtures ladders",
        # Compiled nets are known by the cells that measure them.
        "nets": [
            {"net": net.label.removeprefix("train "), "cell": net.key}
            for net in _trainings(cell) or cell.inputs
        ],
    }
