"""What every experiment kind offers: cells to run, and evidence read from their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.verdicts.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Plan:
    """The cells of one prediction on one line-up, by the role of what they measure."""

    subjects: tuple[Cell, ...]
    must_detect: tuple[Cell, ...]
    must_not_detect: tuple[Cell, ...]
    exhibits: tuple[Cell, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All final cells; what they need is reached through their inputs."""
        return self.subjects + self.must_detect + self.must_not_detect + self.exhibits


class Study(Protocol):
    """One experiment kind. Found by the ``impl`` string of its `registry.kinds.Kind`."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Lay out the work. ``released`` is the model reference that fills released slots.

        Raises:
            SubjectError: a subject, control or algorithm that does not exist.
        """

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """Turn finished cells into evidence."""
