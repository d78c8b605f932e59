"""A language model as one that answers knapsacks: posed in words, read from its options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.tasks.knapsack.instances import Instances
from pytest_mesa.tasks.knapsack.words import END, PromptError, answer_options, read
from pytest_mesa.tasks.knapsack.words_prompts import Chat, Messages, Phrasing, chat_end, prompts

if TYPE_CHECKING:
    from jaxtyping import Float, Int

DIGITS = re.compile(r"\d")
WRITTEN = 12  # tokens of a greedy continuation that are read for a number


class TextModel(Protocol):
    """What is asked of a language model here."""

    @property
    def weights_sha(self) -> str:
        """Hash of the weights."""

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer, in the manner of Hugging Face."""

    def option_logprobs(
        self, prompts: Sequence[str], options: Sequence[str]
    ) -> Float[Tensor, "prompt option"]:
        """Log-probability of each option right after each prompt."""

    def generate(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Greedy continuations."""


@dataclass(eq=False)
class Asked:
    """A language model that is posed a task's knapsacks in one phrasing.

    It answers with the feasible answer that it holds most probable, of all of them, so that
    nothing depends on how a free text is read.

    Raises:
        PromptError: a phrasing that needs more examples, or a chat template, than there are.
    """

    model: TextModel
    task: KnapsackTask
    phrasing: Phrasing
    examples: Instances

    @property
    def label(self) -> str:
        """The phrasing's name."""
        return self.phrasing.name

    @property
    def weights_sha(self) -> str:
        """Hash of the weights."""
        return self.model.weights_sha

    @cached_property
    def options(self) -> list[str]:
        """Every feasible answer, with what ends it."""
        end = END
        if self.phrasing.chat:
            end = chat_end(lambda messages: _rendered(self.model.tokenizer, messages))
        return answer_options(self.task, end)

    def prompts(self, instances: Instances) -> list[str]:
        """One prompt an instance."""
        return prompts(self.phrasing, instances, self.examples, chat_of(self.model.tokenizer))

    def answer_logits(self, instances: Instances) -> Float[Tensor, "batch answer"]:
        """Log-probability (nats) of the answers 0, 1, …."""
        return self.model.option_logprobs(self.prompts(instances), self.options)

    def answers(self, instances: Instances) -> Int[np.ndarray, " batch"]:
        """The most probable answer of each instance."""
        return np.asarray(self.answer_logits(instances).argmax(-1).numpy())

    def garbled(self, instances: Instances) -> str:
        """What a chat template or a tokenizer does to the questions; empty where all arrive."""
        tokenizer = self.model.tokenizer
        for row, prompt in enumerate(self.prompts(instances)):
            wanted = instances.take(np.array([row]))
            try:
                _, posed = read(prompt)
            except PromptError as error:
                return f"its chat template changes them ({error})"
            if not _same(posed, wanted):
                return "its chat template changes their numbers"
            ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            if DIGITS.findall(tokenizer.decode(ids)) != DIGITS.findall(prompt):
                return "its tokenizer cannot write their numbers"
        return ""

    def written(self, instances: Instances) -> list[str]:
        """What the model goes on to write, token by most likely token."""
        return self.model.generate(self.prompts(instances), WRITTEN)


def _same(one: Instances, other: Instances) -> bool:
    parts = ((one.weights, other.weights), (one.values, other.values))
    return all(np.array_equal(a, b) for a, b in (*parts, (one.capacity, other.capacity)))


def phrasings(
    model: TextModel, templates: Sequence[str], shots: int
) -> dict[str, tuple[Phrasing, ...]]:
    """The ways to ask that a model has, by template: plain, with examples, as a chat."""
    ways = [Phrasing("", 0), Phrasing("", shots)]
    if chat_of(model.tokenizer) is not None:
        ways += [replace(way, chat=True) for way in ways]
    distinct = dict.fromkeys(ways)
    return {
        template: tuple(replace(way, template=template) for way in distinct)
        for template in templates
    }


def chat_of(tokenizer: Any) -> Chat | None:
    """Messages as text that ends within the last one; None where there is no chat template."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    return lambda messages: _rendered(tokenizer, messages, continue_final_message=True)


def _rendered(tokenizer: Any, messages: Messages, **how: bool) -> str:
    text = str(tokenizer.apply_chat_template(_listed(messages), tokenize=False, **how))
    # A template may write the token that the tokenizer puts before every text anyway.
    start = tokenizer.bos_token
    if start and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]:
        text = text.removeprefix(start)
    return text


def _listed(messages: Messages) -> list[Mapping[str, str]]:
    return list(messages)
