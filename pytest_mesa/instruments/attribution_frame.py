"""Scores as a table: named columns of equal length, without a dependency."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int


@dataclass(frozen=True)
class Frame:
    """A tidy table: one observation a row, one variable a column."""

    columns: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        sizes = {name: len(values) for name, values in self.columns.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"columns of different lengths: {sizes}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, with Python's own numbers and strings."""
        names = list(self.columns)
        for values in zip(*(self.columns[name].tolist() for name in names), strict=True):
            yield dict(zip(names, values, strict=True))

    def take(self, places: Int[np.ndarray, " row"]) -> Frame:
        """Some of the rows, in the order given."""
        return Frame({name: values[places] for name, values in self.columns.items()})

    def largest(self, name: str = "score", n: int | None = None) -> Frame:
        """The rows by the absolute value of a column, largest first."""
        return self.take(np.argsort(-np.abs(self.columns[name]), kind="stable")[:n])

    def to_csv(self) -> str:
        """The table as comma-separated values with a header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(row.values() for row in self.rows())
        return text.getvalue()

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install pandas") from error
        return pandas.DataFrame(dict(self.columns))
