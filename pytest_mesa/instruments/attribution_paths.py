"""Where on the line from corrupted to clean inputs gradients are taken, and their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pytest_mesa.instruments.stream import SiteError

Rule = Literal["left", "right", "middle", "gauss", "ends", "clean"]


@dataclass(frozen=True, slots=True)
class Path:
    """Points between 0, the corrupted input, and 1, the clean one, and weights that sum to 1."""

    points: tuple[float, ...]
    weights: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.points)


def path(steps: int = 5, rule: Rule = "gauss") -> Path:
    """How a path integral is approximated.

    ``left`` is what the authors' code of EAP-IG does (Hanna et al. 2024) and ``right`` what
    the paper writes; both err in the first order of the step, ``middle`` in the second, and
    ``gauss`` (Gauss-Legendre) is exact for polynomials of degree ``2 * steps - 1``. ``ends``
    averages the gradients at the clean and at the corrupted input themselves, which no
    interpolation ever leaves; ``clean`` is the clean one alone (Syed et al. 2023). Both take
    no notice of ``steps``.

    Raises:
        SiteError: no steps.
    """
    if steps < 1:
        raise SiteError(f"a path needs at least one step, not {steps}")
    even = tuple(1 / steps for _ in range(steps))
    if rule == "clean":
        return Path((1.0,), (1.0,))
    if rule == "ends":
        return Path((0.0, 1.0), (0.5, 0.5))
    if rule == "gauss":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return Path(tuple((1 + points) / 2), tuple(weights / 2))
    offset = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    return Path(tuple((step + offset) / steps for step in range(steps)), even)
