"""Released decoders as subjects: texts in, log-probabilities and texts out.

Batches are padded on the right, where a causal net cannot see the padding from any real
position. Every run carries an attention mask, and none keeps a cache that it does not need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.stream import Stream
from pytest_mesa.subjects.decoding import continue_greedily
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.provenance import Provenance
from pytest_mesa.subjects.scoring import Question, cache_serves, option_scores, split_options

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["CausalNet", "LanguageModel", "Provenance"]

PROBES = ("The cat sat on the mat.", "Two and two make four, it is said.")


class CausalNet(nn.Module):
    """Token ids to logits over the vocabulary, which is what instruments work on."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, ids: Int[Tensor, "batch pos"], mask: Bool[Tensor, "batch pos"] | None = None
    ) -> Float[Tensor, "batch pos vocabulary"]:
        """Next-token logits at every position; ``mask`` is true where a token is real."""
        ids = ids.to(self.model.device)
        mask = torch.ones_like(ids) if mask is None else mask.to(ids)
        out: Tensor = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return out


@dataclass(eq=False)
class LanguageModel:
    """A causal language model with its tokenizer."""

    label: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    provenance: Provenance

    def __post_init__(self) -> None:
        self.model.eval()
        self.model.requires_grad_(False)

    @property
    def weights_sha(self) -> str:
        """Hash of the weights."""
        return self.provenance.weights_sha

    @cached_property
    def net(self) -> CausalNet:
        """The model as a function of token ids alone."""
        return CausalNet(self.model)

    @cached_property
    def stream(self) -> Stream:
        """The net's residual stream, checked on two sentences cut to one length.

        Raises:
            SiteError: reading or writing it does not mean what it should.
        """
        stream = Stream(self.net)
        ids, _, lengths = self.encode(PROBES)
        stream.check(ids[:, : int(lengths.min())])
        return stream

    def encode(
        self, texts: Sequence[str]
    ) -> tuple[Int[Tensor, "batch pos"], Bool[Tensor, "batch pos"], Int[Tensor, " batch"]]:
        """Token ids padded on the right, a mask of the real ones, and how many these are.

        Ids begin with the token that the model's texts begin with, if it has one, and end with
        no special token.
        """
        rows = [self._opening + self._tokens(text) for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        width = int(lengths.max()) if rows else 0
        ids = torch.full((len(rows), width), self.padding)
        for row, tokens in zip(ids, rows, strict=True):
            row[: len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        mask = torch.arange(width) < lengths[:, None]
        device = self.model.device
        return ids.to(device), mask.to(device), lengths.to(device)

    def option_logprobs(
        self, prompts: Sequence[str], options: Sequence[str]
    ) -> Float[Tensor, "prompt option"]:
        """Log-probability (nats) of each option's text right after each prompt, on the CPU.

        An option is scored over all of its tokens. Where a tokenizer merges the end of a prompt
        with the start of an option, the scored part starts at the last token boundary before
        it, the same one for all options of that prompt, so that they stay comparable.

        Raises:
            SubjectError: an option or a prompt that leaves nothing to score or to score after.
        """
        questions = [self._question(prompt, options) for prompt in prompts]
        if not questions:
            return torch.zeros(0, len(options))
        return option_scores(self.model, questions, self.padding, cached=self._cached)

    def generate(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """The most likely next token again and again, up to an end token, as text."""
        rows = [self._opening + self._tokens(prompt) for prompt in prompts]
        if not all(rows):
            raise SubjectError("an empty prompt leaves nothing to continue")
        written = continue_greedily(self.model, rows, max_new_tokens, self._ends)
        return [str(self.tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in written]

    @cached_property
    def padding(self) -> int:
        """A token to fill rows with; no real position sees it."""
        given = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)
        return next((int(token) for token in given if token is not None), 0)

    @cached_property
    def _cached(self) -> bool:
        ids, _, lengths = self.encode(PROBES)
        return cache_serves(self.model, ids[:, : int(lengths.min())])

    @cached_property
    def _opening(self) -> list[int]:
        """What the tokenizer puts before a text; what it would put behind is left out."""
        plain = self._tokens("a")
        framed = [int(token) for token in self.tokenizer("a")["input_ids"]]
        for start in range(len(framed) - len(plain) + 1):
            if framed[start : start + len(plain)] == plain:
                return framed[:start]
        raise SubjectError(f"{self.label}: the tokenizer's special tokens change a text's own")

    @cached_property
    def _ends(self) -> frozenset[int]:
        """The tokens that end a text."""
        settings = getattr(self.model, "generation_config", None)
        told = getattr(settings, "eos_token_id", None)
        ends = told if isinstance(told, list) else [told]
        return frozenset(
            int(end) for end in (*ends, self.tokenizer.eos_token_id) if end is not None
        )

    def _tokens(self, text: str) -> list[int]:
        return [int(t) for t in self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def _question(self, prompt: str, options: Sequence[str]) -> Question:
        whole = [self._opening + self._tokens(prompt + option) for option in options]
        return split_options(self._opening + self._tokens(prompt), whole, prompt, options)
