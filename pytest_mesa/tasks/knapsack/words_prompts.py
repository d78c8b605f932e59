"""Prompts: a template's questions with or without solved examples, plain or as a chat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.instances import Instances
from pytest_mesa.tasks.knapsack.words import END, TEMPLATES, PromptError, Template, answer_text

GAP = "\n\n"  # between the opening, the examples and the question
MARK = "xyzzy"  # an answer that no chat template holds

Messages = Sequence[Mapping[str, str]]
# Messages as text up to the end of the last one, which the model goes on writing.
Chat = Callable[[Messages], str]


@dataclass(frozen=True, slots=True)
class Phrasing:
    """How a model is asked: the template, how many solved examples, and whether as a chat."""

    template: str
    shots: int
    chat: bool = False

    @property
    def name(self) -> str:
        """``prose, 3 shots, chat``."""
        shown = f"{self.shots} shots" if self.shots else "no shots"
        return f"{self.template}, {shown}{', chat' if self.chat else ''}"

    def to_json(self) -> dict[str, Any]:
        """The fields, for cells."""
        return asdict(self)


def prompts(
    phrasing: Phrasing, instances: Instances, examples: Instances, chat: Chat | None = None
) -> list[str]:
    """One prompt an instance, up to the lead; the first ``shots`` examples stand before it.

    Raises:
        PromptError: fewer examples than shots, or a chat without a chat template.
    """
    template = TEMPLATES[phrasing.template]
    if len(examples) < phrasing.shots:
        raise PromptError(f"{phrasing.shots} shots need as many examples, not {len(examples)}")
    shown = examples.take(np.arange(phrasing.shots))
    solved = list(zip(template.ask(shown), optimum(shown).tolist(), strict=True))
    if not phrasing.chat:
        before = [template.opening]
        before += [f"{asked}\n{template.lead}{answer_text(best)}" for asked, best in solved]
        return [
            GAP.join([*before, f"{asked}\n{template.lead}"]) for asked in template.ask(instances)
        ]
    if chat is None:
        raise PromptError("the model has no chat template")
    return [chat(_messages(template, solved, asked)) for asked in template.ask(instances)]


def _messages(
    template: Template, solved: Sequence[tuple[str, int]], asked: str
) -> list[dict[str, str]]:
    """Turns of user and assistant; the last one is the lead, from which the model goes on.

    The opening belongs to the first question: not every chat template has a system's turn.
    """
    messages: list[dict[str, str]] = []
    for question, answer in (*solved, (asked, None)):
        said = question if messages else f"{template.opening}{GAP}{question}"
        reply = template.lead + ("" if answer is None else answer_text(answer))
        messages += [{"role": "user", "content": said}, {"role": "assistant", "content": reply}]
    return messages


def chat_end(closed: Chat) -> str:
    """What a chat template puts behind a reply: the text that ends an answer in a chat.

    ``closed`` renders messages with the last one ended.
    """
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": MARK}]
    return closed(messages).rpartition(MARK)[2].strip() or END
