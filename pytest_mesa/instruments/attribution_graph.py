"""The graph that attribution scores: who writes to the residual stream, and who reads it.

Writers are the embedded input, each head and each MLP; readers are the q, k and v inputs of
heads, each MLP's input and the logits. An edge leads from a writer to every later reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool

Part = Literal["input", "head", "mlp", "mixer"]
Port = Literal["q", "k", "v", "gate", "mlp", "mixer", "logits"]


@dataclass(frozen=True, slots=True)
class Writer:
    """What adds to the stream. ``layer`` is -1 for the input; ``head`` is -1 but for heads."""

    name: str
    part: Part
    layer: int
    head: int = -1


@dataclass(frozen=True, slots=True)
class Reader:
    """What reads the stream.

    ``before`` counts the writers that it sees: the first ones, in the graph's order.
    ``feeds`` are the writers that it is an input of: a key of grouped attention has several,
    the logits none.
    """

    name: str
    port: Port
    layer: int
    before: int
    feeds: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Writers in the order in which they write, and readers."""

    writers: tuple[Writer, ...]
    readers: tuple[Reader, ...]

    @cached_property
    def edges(self) -> Bool[np.ndarray, "writer reader"]:
        """Where there is an edge."""
        before = np.array([reader.before for reader in self.readers])
        table: np.ndarray = np.arange(len(self.writers))[:, None] < before
        return table

    @cached_property
    def feeds(self) -> Bool[np.ndarray, "reader writer"]:
        """Which readers are inputs of which writers."""
        table = np.zeros((len(self.readers), len(self.writers)), dtype=bool)
        for row, reader in enumerate(self.readers):
            table[row, list(reader.feeds)] = True
        return table

    @cached_property
    def writer_index(self) -> dict[str, int]:
        """Each writer's place, by name."""
        return {writer.name: place for place, writer in enumerate(self.writers)}

    @cached_property
    def reader_index(self) -> dict[str, int]:
        """Each reader's place, by name."""
        return {reader.name: place for place, reader in enumerate(self.readers)}

    def connected(
        self, chosen: Bool[np.ndarray, "writer reader"]
    ) -> Bool[np.ndarray, "writer reader"]:
        """Those of the chosen edges that lie on a path of chosen edges from input to logits."""
        kept = chosen & self.edges
        while True:
            reached = (kept.any(axis=0) @ self.feeds) | self._sources
            used = (self.feeds @ kept.any(axis=1)) | self._sinks
            fewer: np.ndarray = kept & reached[:, None] & used
            if (fewer == kept).all():
                return fewer
            kept = fewer

    @cached_property
    def _sources(self) -> Bool[np.ndarray, " writer"]:
        return np.array([writer.part == "input" for writer in self.writers])

    @cached_property
    def _sinks(self) -> Bool[np.ndarray, " reader"]:
        return np.array([reader.port == "logits" for reader in self.readers])
