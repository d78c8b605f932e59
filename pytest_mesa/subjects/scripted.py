"""Language models of known mind: they read the prompt back and answer as a solver would.

Controls of everything between an instance and a score: templates, examples, chat, options,
averaging. Each reads a prompt with the templates' own patterns and writes one character after
another, so that a question that lost a number, or an option that is the beginning of another,
makes it answer wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.words import END, PromptError, answer_text, read

if TYPE_CHECKING:
    from jaxtyping import Float

SURE = log(0.9)  # the character that the script writes next
OTHER = log(0.1 / 96)  # any other of the 97 that a text may hold
LOST = log(1 / 97)  # any one, once the text has left the script
TURN, OVER = "<|turn {role}|>", "<|over|>"


class ScriptTokenizer:
    """Characters as tokens, and a chat template: all that asking needs of a tokenizer."""

    chat_template = TURN + "{content}" + OVER
    bos_token = None

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """Code points; there are no special tokens."""
        del add_special_tokens
        return {"input_ids": [ord(character) for character in text]}

    def decode(self, ids: Sequence[int]) -> str:
        """The text again."""
        return "".join(map(chr, ids))

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        tokenize: bool,
        continue_final_message: bool = False,
    ) -> str:
        """The turns as text.

        Raises:
            ValueError: token ids are asked for.
        """
        if tokenize:
            raise ValueError("a scripted model has no token ids")
        text = "".join(TURN.format(role=m["role"]) + m["content"] + OVER for m in messages)
        return text.removesuffix(OVER) if continue_final_message else text


@dataclass(eq=False)
class ScriptedModel:
    """Writes the answer of one solver after every prompt that it can read."""

    name: str
    tokenizer: ScriptTokenizer = field(default_factory=ScriptTokenizer)

    @property
    def label(self) -> str:
        """``scripted exact``."""
        return f"scripted {self.name}"

    @property
    def weights_sha(self) -> str:
        """Hash of the script's name: there are no weights."""
        return hashlib.sha256(self.label.encode()).hexdigest()

    def option_logprobs(
        self, prompts: Sequence[str], options: Sequence[str]
    ) -> Float[Tensor, "prompt option"]:
        """Log-probability of each option's characters; all are alike where nothing is read."""
        return torch.tensor(
            [[_logprob(option, said) for option in options] for said in map(self._said, prompts)]
        )

    def generate(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """The script; nothing after a prompt that does not read. A token is a character."""
        return [self._said(prompt).removesuffix(OVER)[:max_new_tokens] for prompt in prompts]

    def _said(self, prompt: str) -> str:
        try:
            _, instance = read(prompt)
        except PromptError:
            return ""
        answer = int(SOLVERS[self.name](instance)[0])
        return answer_text(answer) + (OVER if OVER in prompt else END)


def _logprob(option: str, said: str) -> float:
    """Log-probability (nats) that the script writes ``option``, normalised character-wise."""
    total = 0.0
    for at, character in enumerate(option):
        if not said.startswith(option[:at]) or at >= len(said):
            total += LOST
        else:
            total += SURE if character == said[at] else OTHER
    return total


def load(params: Mapping[str, Json], _inputs: tuple[Result, ...]) -> Any:
    """The model that a handle describes."""
    return ScriptedModel(params["name"])
