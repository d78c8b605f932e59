"""How well a subject solves its task, on instances that no other part uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.instances import draw

STREAM = 0x636F6D70  # separates these draws from every other use of the spec's seed


def measure(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """1.0 for each fresh instance answered with the exact optimum."""
    subject = load(params["subject"], inputs, Subject)
    task = KnapsackTask.model_validate(params["task"])
    fresh = draw(task, params["count"], np.random.default_rng([params["seed"], STREAM]))
    right = subject.answers(fresh) == optimum(fresh)
    return {"competence": [float(r) for r in right], "weights_sha": subject.weights_sha}
