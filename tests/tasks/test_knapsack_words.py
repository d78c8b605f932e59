"""The knapsack in words: what is written is read back, and answers stay apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knapsack_strategies import batches

from pytest_mesa.registry.kinds import KnapsackTask, Words
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.instances import Instances, draw
from pytest_mesa.tasks.knapsack.words import (
    TEMPLATES,
    PromptError,
    answer_options,
    most,
    numbers,
    read,
)
from pytest_mesa.tasks.knapsack.words_prompts import Phrasing, chat_end, prompts

TASK = KnapsackTask(kind="knapsack")
names = pytest.mark.parametrize("name", TEMPLATES)


def chat(messages: Sequence[Mapping[str, str]]) -> str:
    """Turns in the manner of ChatML, up to the end of the last one."""
    turns = [f"<|start|>{m['role']}\n{m['content'].strip()}<|end|>\n" for m in messages]
    return "".join(turns).removesuffix("<|end|>\n")


def same(one: Instances, other: Instances) -> bool:
    return all(
        np.array_equal(getattr(one, part), getattr(other, part))
        for part in ("weights", "values", "capacity")
    )


@names
@settings(max_examples=40, deadline=None)
@given(
    instances=batches(top=40, capacity=(0, 99)),
    shots=st.integers(0, 2),
    as_chat=st.booleans(),
)
def test_a_prompt_reads_back_as_its_instance(
    name: str, instances: Instances, shots: int, as_chat: bool
) -> None:
    examples = draw(TASK, 2, np.random.default_rng(0))
    posed = prompts(Phrasing(name, shots, as_chat), instances, examples, chat)
    assert len(posed) == len(instances)
    for row, prompt in enumerate(posed):
        template, instance = read(prompt)
        assert template == name
        assert same(instance, instances.take(np.array([row])))


@names
def test_examples_stand_before_the_question_with_their_optimum(name: str) -> None:
    instances, examples = (draw(TASK, n, np.random.default_rng(n)) for n in (1, 3))
    (bare,) = prompts(Phrasing(name, 0), instances, examples)
    (shown,) = prompts(Phrasing(name, 3), instances, examples)
    template = TEMPLATES[name]
    posed = list(template.questions(shown))
    assert [same(p, examples.take(np.array([i]))) for i, p in enumerate(posed[:3])] == [True] * 3
    assert same(posed[3], instances)
    parts = shown.split(template.lead)
    assert [int(part.split()[0]) for part in parts[1:-1]] == optimum(examples).tolist()
    assert parts[-1] == ""
    assert bare.startswith(template.opening)
    assert bare.endswith(template.lead)


def test_templates_share_no_wording() -> None:
    instances = draw(TASK, 1, np.random.default_rng(0))
    bodies = [prompts(Phrasing(name, 0), instances, instances)[0] for name in TEMPLATES]
    assert len(TEMPLATES) >= 4
    for one, other in permutations(bodies, 2):
        shared = set(one.lower().split()) & set(other.lower().split())
        assert len(shared) < 0.6 * len(set(one.lower().split()))
    assert tuple(TEMPLATES) == Words().templates


@names
@pytest.mark.parametrize(
    "garble",
    [
        lambda t: (
            t.item.replace("{weight}", "#").replace("{value}", "{weight}").replace("#", "{value}")
        ),
        lambda t: t.item.replace("{value}", "1"),
        lambda t: t.item.replace("{weight}", "{weight}0"),
        lambda t: t.item.replace("{weight}", "many"),
    ],
    ids=["exchanged", "lost", "tenfold", "no-number"],
)
def test_a_broken_template_is_not_read_back_as_if_it_were_whole(name: str, garble: object) -> None:
    instances = draw(TASK, 8, np.random.default_rng(0))
    template = TEMPLATES[name]
    broken = replace(template, item=garble(template))  # type: ignore[operator]
    posed = [f"{question}\n{template.lead}" for question in broken.ask(instances)]

    def arrives(row: int) -> bool:
        try:
            return same(read(posed[row])[1], instances.take(np.array([row])))
        except PromptError:
            return False

    assert not all(map(arrives, range(8)))


def test_what_poses_nothing_or_too_much_is_refused() -> None:
    instances = draw(TASK, 1, np.random.default_rng(0))
    one, other = (prompts(Phrasing(name, 0), instances, instances)[0] for name in ("list", "code"))
    for text in ("How are you?", one + other, one + " 7"):
        with pytest.raises(PromptError):
            read(text)
    with pytest.raises(PromptError, match="as many examples"):
        prompts(Phrasing("list", 2), instances, instances)
    with pytest.raises(PromptError, match="no chat template"):
        prompts(Phrasing("list", 0, chat=True), instances, instances)
    many = KnapsackTask(kind="knapsack", items=12)
    thirteen = draw(many, 1, np.random.default_rng(0)).take(np.array([0]))
    wide = Instances(np.tile(thirteen.weights, 2), np.tile(thirteen.values, 2), thirteen.capacity)
    with pytest.raises(PromptError, match="names for 12 items, not 24"):
        TEMPLATES["list"].ask(wide)


@settings(max_examples=40, deadline=None)
@given(
    items=st.integers(2, 12),
    top=st.integers(1, 30),
    low=st.integers(1, 4),
    room=st.integers(1, 60),
)
def test_options_hold_every_answer_and_none_begins_another(
    items: int, top: int, low: int, room: int
) -> None:
    task = KnapsackTask(
        kind="knapsack", items=items, weights=(low, low + 3), values=(1, top), capacity=(1, room)
    )
    options = answer_options(task, "<end>")
    assert numbers(options) == list(range(most(task) + 1))
    assert not any(b.startswith(a) for a, b in permutations(options, 2))
    assert optimum(draw(task, 200, np.random.default_rng(0))).max() <= most(task)


def test_numbers_in_free_text() -> None:
    texts = ["12", " The answer is 7.", "", "none", "3.5 kg, so 4", "-2", "best: 10\n\n11", "1,5"]
    assert numbers(texts) == [12, 7, None, None, 4, -2, 10, 1]


def test_the_end_of_a_chats_answer() -> None:
    assert chat_end(lambda m: chat(m) + "<|end|>\n") == "<|end|>"
    assert chat_end(chat) == "\n"
