"""Compiled nets: exact on thousands of instances, and hidden behind their rotation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.compiled import ITEMS, PROGRAMS, build
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.tasks.knapsack import exact, tokens
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, draw

# Wider than any task in the registry: every weight, value and capacity that has a token.
WIDE = KnapsackTask(kind="knapsack", weights=(1, 7), values=(1, 7), capacity=(1, 15))
Solver = Callable[[Instances], np.ndarray]


def first_five(instances: Instances) -> np.ndarray:
    """The optimum of what a truncated table sees."""
    seen = Instances(instances.weights[:, :ITEMS], instances.values[:, :ITEMS], instances.capacity)
    return exact.optimum(seen)


RUNS: dict[str, Solver] = {
    "prefix-dp": exact.optimum,
    "suffix-recursion": exact.optimum,
    "brute-force": exact.optimum,
    "greedy-ratio": SOLVERS["greedy-ratio"],
    "truncated-dp": first_five,
}


@cache
def subject(name: str, seed: int = 0, items: int = ITEMS) -> Subject:
    """A compiled net; writing its weights down takes longer than running it."""
    return Subject(name, build(name, seed, items))


def drawn(items: int, count: int, seed: int = 0) -> Instances:
    return draw(WIDE.model_copy(update={"items": items}), count, np.random.default_rng(seed))


def test_every_program_has_its_algorithm_here() -> None:
    assert RUNS.keys() == PROGRAMS.keys()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", RUNS)
def test_a_compiled_net_runs_its_algorithm_exactly(name: str, seed: int) -> None:
    instances = drawn(ITEMS, 1000, seed)
    answers = subject(name, seed).answers(instances)
    assert (answers == RUNS[name](instances)).all()


@pytest.mark.parametrize("items", [3, 6, 8])
@pytest.mark.parametrize("name", ["prefix-dp", "suffix-recursion"])
def test_a_net_for_eight_items_solves_fewer_too(name: str, items: int) -> None:
    instances = drawn(items, 300)
    assert (subject(name, 0, 8).answers(instances) == exact.optimum(instances)).all()


def test_the_truncated_net_is_exact_up_to_five_items_and_blind_beyond() -> None:
    net = subject("truncated-dp", 0, 8)
    five, seven = drawn(5, 300), drawn(7, 300)
    assert (net.answers(five) == exact.optimum(five)).all()
    assert (net.answers(seven) == first_five(seven)).all()
    assert (net.answers(seven) != exact.optimum(seven)).mean() > 0.5


def test_greedy_and_exact_nets_part_where_their_algorithms_do() -> None:
    instances = drawn(ITEMS, 600)
    greedy = subject("greedy-ratio").answers(instances)
    exactly = subject("prefix-dp").answers(instances)
    part = SOLVERS["greedy-ratio"](instances) != exact.optimum(instances)
    assert 0.05 < part.mean() < 0.5
    assert ((greedy != exactly) == part).all()


def test_the_rotation_leaves_no_coordinate_that_is_a_table_entry() -> None:
    """Each entry is a linear function of the stream, yet none of its coordinates."""
    instances = drawn(ITEMS, 600)
    stage, position = 3, 3
    row = exact.prefix_rows(instances, tokens.TOP_CAPACITY)[stage].astype(np.float64)
    net = subject("prefix-dp")
    stream = net.stream.capture(tokens.encode(instances))[stage, :, position].double().numpy()
    entries = row[:, row.std(0) > 0]
    readout, *_ = np.linalg.lstsq(stream, entries, rcond=None)
    assert np.abs(stream @ readout - entries).max() < 1e-2
    together = np.corrcoef(stream.T, entries.T)
    across = np.abs(together[: stream.shape[1], stream.shape[1] :])
    assert across.max() < 0.99  # without the rotation it is 1
    # Spread over the whole basis: no coordinate carries even a tenth of a read-out's weight.
    share = (readout / np.linalg.norm(readout, axis=0)) ** 2
    assert share.max() < 0.25


def test_seeds_hide_the_same_function_differently() -> None:
    first, second = subject("prefix-dp", 0), subject("prefix-dp", 1)
    assert first.weights_sha != second.weights_sha
    ids = tokens.encode(drawn(ITEMS, 8))
    streams = [net.stream.capture(ids) for net in (first, second)]
    assert not torch.allclose(streams[0], streams[1], atol=0.1)


def test_a_compiled_net_does_not_depend_on_global_random_state() -> None:
    shas = set()
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)
        shas.add(Subject("dp", build("truncated-dp", 0)).weights_sha)
    assert len(shas) == 1


@pytest.mark.parametrize(
    ("name", "items", "message"),
    [
        ("bellman", 5, "no compiled net is called 'bellman'; there are prefix-dp"),
        ("prefix-dp", 9, "compiled prefix-dp has no room for 9 items"),
        ("prefix-dp", 1, "has no room for 1 items"),
        ("brute-force", 6, "compiled brute-force has no room for 6 items"),
    ],
)
def test_what_cannot_be_compiled_is_refused(name: str, items: int, message: str) -> None:
    with pytest.raises(SubjectError, match=message):
        build(name, 0, items)
