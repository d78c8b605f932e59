"""Language models posed the knapsack: scripted ones of known mind, and what garbles a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from tiny_models import CONFIGURATIONS, model, tokenizer
from torch import Tensor

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects import asked as asked_module
from pytest_mesa.subjects import scoring
from pytest_mesa.subjects.asked import Asked, chat_of, phrasings
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.language import LanguageModel, Provenance
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.schemes import handles, reads_text
from pytest_mesa.subjects.scripted import ScriptedModel, ScriptTokenizer
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, draw
from pytest_mesa.tasks.knapsack.words import TEMPLATES, answer_text, most, numbers
from pytest_mesa.tasks.knapsack.words_prompts import Phrasing

TASK = KnapsackTask(kind="knapsack", items=4)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content | trim }}<|im_end|>\n{% endfor %}"
)


@pytest.fixture(scope="module")
def instances() -> Instances:
    return draw(TASK, 16, np.random.default_rng(0))


@pytest.fixture(scope="module")
def examples() -> Instances:
    return draw(TASK, 3, np.random.default_rng(1))


def every(model: Any, examples: Instances) -> list[Asked]:
    ways = phrasings(model, tuple(TEMPLATES), 3)
    return [Asked(model, TASK, way, examples) for found in ways.values() for way in found]


@pytest.mark.parametrize("name", SOLVERS)
def test_a_script_answers_as_its_solver_under_every_wording(
    name: str, instances: Instances, examples: Instances
) -> None:
    wanted = SOLVERS[name](instances)
    asked = every(ScriptedModel(name), examples)
    assert len(asked) == 4 * len(TEMPLATES)
    for one in asked:
        assert one.garbled(instances) == ""
        assert np.array_equal(one.answers(instances), wanted), one.label
        assert numbers(one.written(instances)) == wanted.tolist(), one.label
        assert one.answer_logits(instances).shape == (16, most(TASK) + 1)


def test_a_script_that_reads_nothing_says_nothing() -> None:
    silent = ScriptedModel("exact")
    assert silent.generate(["How are you?"], 5) == [""]
    assert silent.option_logprobs(["How are you?"], [" 1", " 2", " 30"]).argmax() == 0


def test_a_script_misses_where_one_option_begins_another(
    instances: Instances, examples: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(task: KnapsackTask, _end: str) -> list[str]:
        return [answer_text(answer) for answer in range(most(task) + 1)]

    monkeypatch.setattr(asked_module, "answer_options", endless)
    asked = Asked(ScriptedModel("exact"), TASK, Phrasing("list", 0), examples)
    wanted = SOLVERS["exact"](instances)
    long = wanted >= 10
    assert long.any()
    assert (asked.answers(instances)[long] != wanted[long]).all()


def test_scripts_are_found_by_reference() -> None:
    (handle,) = handles(SubjectSpec(ref="scripted:greedy-ratio"))
    assert reads_text(handle)
    assert load(handle.params, ()).label == handle.label == "scripted greedy-ratio"
    with pytest.raises(SubjectError, match="no script is called 'luck'; there are exact, greedy"):
        handles(SubjectSpec(ref="scripted:luck"))


def language_model(kind: str = "llama", **tokenizing: Any) -> LanguageModel:
    made = tokenizer(**tokenizing)
    about = Provenance("tiny", "", "0" * 64, "cpu", "float32", remote_code=False, parameters=1)
    return LanguageModel("tiny", model(kind), made, about)


def test_a_language_model_is_asked_plainly_and_as_a_chat(
    instances: Instances, examples: Instances
) -> None:
    tiny = language_model()
    few = instances.take(np.arange(3))
    assert chat_of(tiny.tokenizer) is None
    assert len(every(tiny, examples)) == 2 * len(TEMPLATES)
    tiny.tokenizer.chat_template = CHATML
    for one in every(tiny, examples):
        assert one.garbled(few) == ""
        prompt = one.prompts(few)[0]
        assert prompt.endswith(TEMPLATES[one.phrasing.template].lead)
        assert prompt.count("<|im_start|>") == one.phrasing.chat * (2 + 2 * one.phrasing.shots)
        assert one.options[1].endswith("<|im_end|>" if one.phrasing.chat else "\n")
    assert np.isin(one.answers(few), np.arange(most(TASK) + 1)).all()
    assert len(one.written(few)) == 3


@pytest.mark.parametrize("begins", [True, False])
def test_no_prompt_begins_twice(begins: bool, instances: Instances, examples: Instances) -> None:
    tiny = language_model(begins=begins)
    tiny.tokenizer.chat_template = "{{ bos_token }}" + CHATML
    asked = Asked(tiny, TASK, Phrasing("code", 0, chat=True), examples)
    ids, _, _ = tiny.encode(asked.prompts(instances.take(np.arange(1))))
    assert (ids[0] == tiny.tokenizer.bos_token_id).sum() == 1


class Lossy(ScriptTokenizer):
    """Cannot write the digit 3."""

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return super().__call__(text.replace("3", "?"), add_special_tokens=add_special_tokens)


class Cutting(ScriptTokenizer):
    """Keeps the last message alone."""

    def apply_chat_template(self, messages: Sequence[Mapping[str, str]], **how: Any) -> str:
        return super().apply_chat_template(messages[-1:], **how)


class Rounding(ScriptTokenizer):
    """Turns every 5 into a 4."""

    def apply_chat_template(self, messages: Sequence[Mapping[str, str]], **how: Any) -> str:
        return super().apply_chat_template(messages, **how).replace("5", "4")


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (Lossy(), "its tokenizer cannot write their numbers"),
        (Cutting(), "its chat template changes them"),
        (Rounding(), "its chat template changes their numbers"),
    ],
    ids=["lossy", "cutting", "rounding"],
)
def test_what_garbles_a_question_is_told(
    made: ScriptTokenizer, fault: str, instances: Instances, examples: Instances
) -> None:
    asked = Asked(ScriptedModel("exact", made), TASK, Phrasing("list", 0, chat=True), examples)
    assert asked.garbled(instances).startswith(fault)


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_what_all_prompts_begin_with_is_run_once_and_changes_nothing(
    kind: str, instances: Instances, examples: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = language_model(kind)
    asked = Asked(tiny, TASK, Phrasing("code", 2), examples)
    few = instances.take(np.arange(4))
    fed: list[int] = []
    shared = read_tokens(tiny, fed, asked, few)
    counted = sum(fed)
    fed.clear()
    monkeypatch.setattr(scoring, "SHARED", 10**6)
    alone = read_tokens(tiny, fed, asked, few)
    assert (shared - alone).abs().max() < 1e-3
    assert kind == "mamba-no-cache" or counted < 0.7 * sum(fed)


def read_tokens(tiny: LanguageModel, fed: list[int], asked: Asked, few: Instances) -> Tensor:
    """The scores, with the number of tokens of each run added to ``fed``."""

    def count(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        fed.append(kwargs["input_ids"].numel())

    handle = tiny.model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        return asked.answer_logits(few)
    finally:
        handle.remove()
