"""Knapsack solvers with known ground truth: nets that run one algorithm exactly."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from pytest_mesa.subjects.compiler import (
    Affine,
    CompiledTransformer,
    Head,
    Layer,
    Program,
    assemble,
    at,
    back,
    only,
    var,
)
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.tasks.knapsack import tokens

ITEMS = 5
DISTRACTORS = 24
SMALL = 8.0  # more than an item's weight or value
CAPACITIES = range(tokens.TOP_CAPACITY + 1)
WEIGHTS = range(1, tokens.TOP_WEIGHT + 1)


class KnapsackProgram(Program):
    """The slots that every knapsack program starts from."""

    def __init__(self, items: int) -> None:
        super().__init__(positions=items + 2)
        self.items = items
        self.is_weight = dict(zip(WEIGHTS, self.slots(len(WEIGHTS)), strict=True))
        self.weight, self.value, self.rank = self.slots(3)
        self.is_capacity = self.slots(len(CAPACITIES))
        (self.room,) = self.slots(1)
        ranks = _ratio_ranks()
        for weight in WEIGHTS:
            for value in range(1, tokens.TOP_VALUE + 1):
                ident = tokens.FIRST_ITEM + (weight - 1) * tokens.TOP_VALUE + value - 1
                self.token(
                    ident,
                    {
                        self.is_weight[weight]: 1.0,
                        self.weight: weight,
                        self.value: value,
                        self.rank: ranks[weight, value],
                    },
                )
        for capacity in CAPACITIES:
            writes = {self.is_capacity[capacity]: 1.0, self.room: float(capacity)}
            self.token(tokens.FIRST_CAPACITY + capacity, writes)

    @property
    def item_slots(self) -> tuple[int, ...]:
        """What an item's token says of it."""
        return (*self.is_weight.values(), self.weight, self.value, self.rank)

    def read_at_capacity(self, layer: Layer, row: tuple[int, ...]) -> None:
        """Make the answer the row's entry at the instance's capacity."""
        (out,) = self.slots(1)
        for capacity in CAPACITIES:
            layer.gated(var(row[capacity]), [var(self.is_capacity[capacity])], out)
        self.answer = var(out)


def _ratio_ranks() -> dict[tuple[int, int], float]:
    """Dense rank of value per weight; equal ratios share a rank."""
    pairs = [(w, v) for w in WEIGHTS for v in range(1, tokens.TOP_VALUE + 1)]
    ratios = sorted({v / w for w, v in pairs})
    return {(w, v): float(ratios.index(v / w)) for w, v in pairs}


def _add_item(
    layer: Layer,
    row: tuple[int, ...],
    is_weight: dict[int, int],
    value: int,
    here: list[Affine],
) -> None:
    """One table step in one block: each entry grows by what taking the item would gain."""
    for capacity in CAPACITIES:
        for weight in WEIGHTS:
            if weight <= capacity:
                gain = var(row[capacity - weight]) + var(value) - var(row[capacity])
                layer.gated(gain, [var(is_weight[weight]), *here], row[capacity])


def _forward_rows(program: KnapsackProgram, items: int) -> tuple[int, ...]:
    """Blocks that carry the row from item to item: block ``l`` finishes the row of item ``l``."""
    row = program.slots(len(CAPACITIES))
    for item in range(1, items + 1):
        layer = program.layer()
        layer.heads = [Head(only(item, back(1)), row, row)]
        _add_item(layer, row, program.is_weight, program.value, [var(program.position[item])])
    return row


def _answer_from(
    program: KnapsackProgram, row: tuple[int, ...], look: Callable[[int], int]
) -> None:
    """A last block that reads the row at another position, at the capacity."""
    final = program.slots(len(CAPACITIES))
    last = program.layer()
    last.heads = [Head(look, row, final)]
    program.read_at_capacity(last, final)


def prefix_dp(items: int) -> Program:
    """Rows travel from item to item: block ``l`` finishes the row of item ``l``."""
    program = KnapsackProgram(items)
    _answer_from(program, _forward_rows(program, items), back(1))
    return program


def truncated_dp(items: int) -> Program:
    """Prefix DP over the first five items; whatever comes after is not looked at."""
    program = KnapsackProgram(items)
    _answer_from(program, _forward_rows(program, ITEMS), at(ITEMS))
    return program


def suffix_recursion(items: int) -> Program:
    """Subproblem values grow at the answer's position, the last item first."""
    program = KnapsackProgram(items)
    row = program.slots(len(CAPACITIES))
    for steps in range(1, items + 1):
        layer = program.layer()
        weights = dict(zip(WEIGHTS, program.slots(len(WEIGHTS)), strict=True))
        (value,) = program.slots(1)
        layer.heads = [
            Head(
                back(steps),
                (*program.is_weight.values(), program.value),
                (*weights.values(), value),
            )
        ]
        _add_item(layer, row, weights, value, [])
    program.read_at_capacity(program.layer(), row)
    return program


def greedy_ratio(items: int) -> Program:
    """Sort by ratio with pairwise comparisons, then fill item by item."""
    program = KnapsackProgram(items)
    layer = program.layer()
    weight, value, rank = (program.slots(items) for _ in range(3))
    for item in range(items):
        source = (program.weight, program.value, program.rank)
        target = (weight[item], value[item], rank[item])
        layer.heads.append(Head(back(items - item), source, target))
    place = program.slots(items)
    for item in range(items):
        for other in range(items):
            if other != item:
                # Ranks are integers, so half a point decides ties for the earlier item.
                lead = (var(rank[other]) - var(rank[item])) * 2.0
                layer.step(lead + (1.0 if other < item else 0.0), place[item])
    stands = [program.slots(items) for _ in range(items)]
    layer = program.layer()
    for item in range(items):
        for turn in range(items):
            offset = var(place[item]) - float(turn)
            for shift, amount in ((1.0, 1.0), (0.0, -2.0), (-1.0, 1.0)):
                layer.add(offset + shift, stands[item][turn], amount)
    ordered_weight, ordered_value = program.slots(items), program.slots(items)
    layer = program.layer()
    for item in range(items):
        for turn in range(items):
            gate = [var(stands[item][turn])]
            layer.gated(var(weight[item]), gate, ordered_weight[turn], SMALL)
            layer.gated(var(value[item]), gate, ordered_value[turn], SMALL)
    room, total = var(program.room), Affine()
    for turn in range(items):
        fits, used, gained = program.slots(3)
        program.layer().step(room - var(ordered_weight[turn]) + 1.0, fits)
        layer = program.layer()
        layer.gated(var(ordered_weight[turn]), [var(fits)], used, SMALL)
        layer.gated(var(ordered_value[turn]), [var(fits)], gained, SMALL)
        room, total = room - var(used), total + var(gained)
    program.answer = total
    return program


def brute_force(items: int) -> Program:
    """Score every subset at once, then a knock-out: exact, without any table.

    Its answer position carries the raw items, so swapping them there mimics swapping a row.
    """
    program = KnapsackProgram(items)
    layer = program.layer()
    weight, value = program.slots(items), program.slots(items)
    for item in range(items):
        source, target = (program.weight, program.value), (weight[item], value[item])
        layer.heads.append(Head(back(items - item), source, target))
    layer = program.layer()  # a block later, so that one layer carries nothing but raw items
    scores: list[Affine] = []
    for size in range(items + 1):
        for subset in combinations(range(items), size):
            (excess,) = program.slots(1)
            load, worth = Affine(), Affine()
            for item in subset:
                load, worth = load + var(weight[item]), worth + var(value[item])
            layer.add(load - var(program.room), excess, 1.0)
            scores.append(worth - var(excess) * float(tokens.TOP_ANSWER))
    while len(scores) > 1:
        layer, winners = program.layer(), []
        for first, second in zip(scores[::2], scores[1::2], strict=True):
            (lead,) = program.slots(1)
            layer.add(second - first, lead, 1.0)
            winners.append(first + var(lead))
        scores = winners
    program.answer = scores[0]
    return program


PROGRAMS: dict[str, Callable[[int], Program]] = {
    "prefix-dp": prefix_dp,
    "suffix-recursion": suffix_recursion,
    "greedy-ratio": greedy_ratio,
    "brute-force": brute_force,
    "truncated-dp": truncated_dp,
}


def build(name: str, seed: int, items: int = ITEMS) -> CompiledTransformer:
    """A compiled net; ``seed`` draws its rotation and its distractors.

    Raises:
        SubjectError: no such program, or a number of items that it has no room for.
    """
    if name not in PROGRAMS:
        raise SubjectError(f"no compiled net is called {name!r}; there are {', '.join(PROGRAMS)}")
    if not 2 <= items <= 8 or (name == "brute-force" and items > ITEMS):
        raise SubjectError(f"compiled {name} has no room for {items} items")
    answers = range(tokens.FIRST_ANSWER, tokens.FIRST_ANSWER + tokens.TOP_ANSWER + 1)
    rng = np.random.default_rng([seed, items, 0x636F6D70])
    return assemble(PROGRAMS[name](items), tokens.VOCABULARY, answers, DISTRACTORS, rng)
