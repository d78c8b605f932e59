"""What every experiment kind offers: cells to run, and evidence read from their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.verdicts.evidence import Evidence
from pytest_mesa.verdicts.releases import Release


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


@dataclass(frozen=True, slots=True)
class Watched:
    """A claim that another prediction follows through the ledger.

    ``earlier`` are the releases that the ledger knew before the one at hand, in order;
    ``stated`` is the line of the record that states the forecast made from them, if any.
    """

    prediction: Prediction
    study: Study
    earlier: tuple[Release, ...]
    stated: int | None = None


LookBack = Callable[[str], Watched]  # by the watched claim's id


@runtime_checkable
class LooksBack(Protocol):
    """A study whose evidence also lies in the ledger."""

    def looking_back(self, past: LookBack, released: str) -> Study:
        """The study with the past at hand, for one released model."""
