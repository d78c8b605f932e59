"""Which patched runs go together: every one once, never later than it starts to differ."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.instruments.patching_rows import EVERYWHERE, Locations, Tricks, batches


@given(
    layers=st.integers(1, 5),
    length=st.integers(1, 9),
    prompts=st.integers(1, 3),
    tokens=st.integers(1, 60),
    step=st.integers(0, 40),
    tricks=st.builds(Tricks, later_positions=st.booleans(), batched=st.booleans()),
)
def test_every_row_runs_once_within_the_budget(
    layers: int, length: int, prompts: int, tokens: int, step: int, tricks: Tricks
) -> None:
    rows = Locations(range(layers), positions=range(length)).rows(prompts)
    seen = []
    for batch in batches(rows, length, layers, tokens, step, tricks):
        assert len(batch.rows) * (length - batch.start) <= max(tokens, length - batch.start)
        assert bool((batch.rows.first >= batch.start).all())
        assert bool((batch.rows.layer.diff() >= 0).all())
        assert tricks.later_positions or batch.start == 0
        assert tricks.batched or len(batch.rows) == 1
        seen += list(zip(batch.rows.slot.tolist(), batch.rows.prompt.tolist(), strict=True))
    assert sorted(seen) == [(s, p) for s in range(layers * length) for p in range(prompts)]


def test_locations_are_numbered_by_layer_head_and_position() -> None:
    rows = Locations([2, 5], [0, 1], [3]).rows(2)
    assert rows.slot.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert rows.layer.tolist() == [2] * 4 + [5] * 4
    assert rows.head.tolist() == [0, 0, 1, 1] * 2
    assert rows.first.tolist() == [3] * 8
    assert Locations([0]).rows(1).position.tolist() == [EVERYWHERE]


def test_cheap_calls_are_not_merged_and_dear_ones_are() -> None:
    rows = Locations(range(4), positions=range(8)).rows(1)
    free = list(batches(rows, 8, 4, 10**6, 0, Tricks()))
    dear = list(batches(rows, 8, 4, 10**6, 10**6, Tricks()))
    assert [batch.start for batch in free] == list(range(8))
    assert [batch.start for batch in dear] == [0]


def test_nothing_to_run_is_no_batch() -> None:
    rows = Locations([0], positions=[0]).rows(1)
    none = replace(rows.take(torch.tensor([], dtype=torch.long)))
    assert not list(batches(none, 4, 2, 100, 8, Tricks()))
