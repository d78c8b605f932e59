"""Log-probabilities of continuations, with each prompt computed once for all of its options."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pytest_mesa.subjects.errors import SubjectError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from transformers import PreTrainedModel

SHARED = 16  # tokens that all contexts begin with, from which on they get a run of their own
POSITIONS = 8192  # tokens in one run
LOGITS_BYTES = 256 * 2**20  # logits of one run, in float32
SAME, SAME_HALF = 1e-4, 5e-2  # of the largest logit: rounding, in 32 and in 16 bits


@dataclass(frozen=True, slots=True)
class Question:
    """Token ids of a prompt, and of what each option adds to it."""

    context: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """What all contexts begin with (solved examples, say), run once."""

    length: int
    cache: Any

    def rows(self, count: int) -> Any:
        """A cache of so many rows to go on from."""
        cache = copy.deepcopy(self.cache)
        cache.reorder_cache(torch.zeros(count, dtype=torch.long))
        return cache


def split_options(
    prompt: Sequence[int], whole: Sequence[Sequence[int]], text: str, options: Sequence[str]
) -> Question:
    """Part each option's whole text from the prompt, at a boundary that all of them have.

    Raises:
        SubjectError: nothing of an option, or of the prompt, is left.
    """
    shared = min((_common(prompt, row) for row in whole), default=len(prompt))
    if not shared:
        raise SubjectError(f"prompt {text!r:.60} leaves no token to score an option after")
    for option, row in zip(options, whole, strict=True):
        if len(row) == shared:
            raise SubjectError(f"option {option!r:.60} has no token of its own to score")
    return Question(tuple(prompt[:shared]), tuple(tuple(row[shared:]) for row in whole))


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading tokens are the same."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def option_scores(
    model: PreTrainedModel, questions: Sequence[Question], padding: int, *, cached: bool
) -> Float[Tensor, "question option"]:
    """Summed log-probability (nats) of each option's tokens after its context.

    Contexts run once, and what all of them begin with once for all. The first token of every
    option is read from that run; options of more tokens go on from its cache, in batches of
    contexts of one length. Where the model's cache does not serve (``cached`` false, as
    `cache_serves` tells), options of more tokens run whole.
    """
    scores = torch.zeros(len(questions), len(questions[0].options))
    order = sorted(range(len(questions)), key=lambda i: len(questions[i].context))
    longer = [i for i in order if any(len(option) > 1 for option in questions[i].options)]
    shorter = [i for i in order if i not in set(longer)]
    with torch.inference_mode():
        for batch in _batches(model, shorter, [len(questions[i].context) for i in shorter]):
            scores[batch] = _first_tokens(model, [questions[i] for i in batch], padding)
        run: Callable[..., Tensor] = _recomputed
        if cached:
            run = partial(_continued, opening=_opening(model, [questions[i] for i in longer]))
        for _, group in groupby(longer, key=lambda i: len(questions[i].context)):
            same = list(group)
            for batch in _batches(model, same, [_size(questions[i]) for i in same]):
                scores[batch] = run(model, [questions[i] for i in batch], padding)
    return scores


def _size(question: Question) -> int:
    longest = max(len(option) for option in question.options)
    return len(question.context) + len(question.options) * longest


def _batches(
    model: PreTrainedModel, rows: Sequence[int], sizes: Sequence[int]
) -> Iterator[list[int]]:
    """Rows in order, as many at a time as the bounds on positions and logits let in."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    bound = min(POSITIONS, LOGITS_BYTES // (4 * vocabulary))
    batch: list[int] = []
    widest = 0
    for row, size in zip(rows, sizes, strict=True):
        widest = max(widest, size)
        if batch and widest * (len(batch) + 1) > bound:
            yield batch
            batch, widest = [], size
        batch.append(row)
    if batch:
        yield batch


def _first_tokens(
    model: PreTrainedModel, questions: Sequence[Question], padding: int
) -> Float[Tensor, "question option"]:
    ids, mask = padded([question.context for question in questions], padding, model.device)
    lengths = mask.sum(1)
    kept = lengths.unique() - 1  # sorted
    logits = kept_logits(model, ids, mask, kept)
    last = logits[torch.arange(len(ids)), torch.searchsorted(kept, lengths - 1)]
    wanted = torch.tensor([[o[0] for o in q.options] for q in questions], device=last.device)
    return log_probabilities(last[:, None].expand(-1, wanted.shape[1], -1), wanted).cpu()


def _opening(model: PreTrainedModel, questions: Sequence[Question]) -> Opening | None:
    """A run of what all contexts begin with, where there is enough of it."""
    if len(questions) < 2:
        return None
    first = questions[0].context
    length = min(min(_common(first, q.context), len(q.context) - 1) for q in questions)
    if length < SHARED:
        return None
    ids = torch.tensor([first[:length]], device=model.device)
    out = model(
        input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, **only_last(model, ids)
    )
    return Opening(length, out.past_key_values)


def _continued(
    model: PreTrainedModel,
    questions: Sequence[Question],
    padding: int,
    opening: Opening | None = None,
) -> Float[Tensor, "question option"]:
    """Contexts of one length, and their options from the contexts' cache on."""
    contexts = torch.tensor([question.context for question in questions], device=model.device)
    begun = {"past_key_values": opening.rows(len(questions))} if opening else {}
    fed = contexts[:, opening.length if opening else 0 :]
    out = model(
        input_ids=fed,
        attention_mask=torch.ones_like(contexts),
        use_cache=True,
        **begun,
        **only_last(model, fed),
    )
    first = torch.tensor([[o[0] for o in q.options] for q in questions], device=model.device)
    last = out.logits[:, -1:].expand(-1, first.shape[1], -1)
    scores = log_probabilities(last, first).cpu()
    # Options that differ in their last token alone, such as 10 and 11, share one row.
    rows = {
        (index, option[:-1]): None
        for index, question in enumerate(questions)
        for option in question.options
        if len(option) > 1
    }
    place = {row: number for number, row in enumerate(rows)}
    cache = out.past_key_values
    cache.reorder_cache(torch.tensor([index for index, _ in rows], device=model.device))
    ids, mask = padded([tokens for _, tokens in rows], padding, model.device)
    before = torch.ones(len(ids), contexts.shape[1], dtype=mask.dtype, device=mask.device)
    logits = model(
        input_ids=ids,
        attention_mask=torch.cat([before, mask], 1),
        past_key_values=cache,
        use_cache=True,
    ).logits
    for index, question in enumerate(questions):
        for column, option in enumerate(question.options):
            if len(option) > 1:
                part = logits[place[index, option[:-1]], : len(option) - 1]
                after = torch.tensor(option[1:], device=part.device)
                scores[index, column] += log_probabilities(part, after).sum().cpu()
    return scores


def _recomputed(
    model: PreTrainedModel, questions: Sequence[Question], padding: int
) -> Float[Tensor, "question option"]:
    """Whole texts, for models whose cache cannot be shared."""
    scores = torch.zeros(len(questions), len(questions[0].options))
    for index, question in enumerate(questions):
        start = len(question.context)
        ids, mask = padded(
            [question.context + option for option in question.options], padding, model.device
        )
        kept = torch.arange(start - 1, ids.shape[1] - 1, device=ids.device)
        logits = kept_logits(model, ids, mask, kept)
        chances = log_probabilities(logits, ids[:, start:])
        scores[index] = (chances * mask[:, start:]).sum(1).cpu()
    return scores


def log_probabilities(
    logits: Float[Tensor, "*any vocabulary"], tokens: Int[Tensor, "*any"]
) -> Float[Tensor, "*any"]:
    """Log-probability (nats) of each token, computed in float32."""
    logits = logits.float()
    chosen = logits.gather(-1, tokens[..., None]).squeeze(-1)
    return chosen - logits.logsumexp(-1)


def padded(
    rows: Sequence[Sequence[int]], padding: int, device: torch.device
) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
    """Rows padded on the right, and a mask that is 1 at their own tokens."""
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    ids = pad_sequence(tensors, batch_first=True, padding_value=padding)
    mask = pad_sequence([torch.ones_like(row) for row in tensors], batch_first=True)
    return ids.to(device), mask.to(device)


def kept_logits(
    model: PreTrainedModel,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    kept: Int[Tensor, " kept"],
) -> Float[Tensor, "batch kept vocabulary"]:
    """Logits at some positions; the others are not computed where the model can leave them."""
    selected = _keep(model, kept)
    out: Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False, **selected).logits
    return out if selected else out[:, kept]


def only_last(model: PreTrainedModel, ids: Int[Tensor, "batch pos"]) -> dict[str, Any]:
    """Arguments for the last position's logits alone, where the model can leave the others.

    By index, not by count: that would be a slice, which no matrix product folds over rows, and
    torch would copy the whole output matrix once for every row.
    """
    return _keep(model, torch.tensor([ids.shape[1] - 1], device=model.device))


def _keep(model: PreTrainedModel, kept: Tensor) -> dict[str, Any]:
    return {"logits_to_keep": kept} if "logits_to_keep" in _arguments(model) else {}


def keeps_cache(model: PreTrainedModel) -> bool:
    """Whether the model hands out and takes back a key-value cache."""
    return "past_key_values" in _arguments(model)


def cache_serves(model: PreTrainedModel, rows: Int[Tensor, "2 pos"]) -> bool:
    """Whether going on from a shared cache, several tokens at once, gives what a whole run does.

    State-space layers, for one, may start anew there. Looked at on two rows of real tokens.
    """
    if not keeps_cache(model):
        return False
    half = rows.shape[1] // 2
    swapped = torch.tensor([1, 0, 1], device=rows.device)
    mask = torch.ones_like(rows)
    with torch.inference_mode():
        whole = model(input_ids=rows, attention_mask=mask, use_cache=False).logits[swapped, half:]
        try:
            begun = model(input_ids=rows[:, :half], attention_mask=mask[:, :half], use_cache=True)
            begun.past_key_values.reorder_cache(swapped)
            resumed = model(
                input_ids=rows[swapped, half:],
                attention_mask=mask[swapped],
                past_key_values=begun.past_key_values,
                use_cache=True,
            ).logits
        except Exception:  # whatever a model's own cache class lacks
            return False
    allowed = SAME if whole.dtype == torch.float32 else SAME_HALF
    gap = float((resumed - whole).abs().max()) / (float(whole.abs().max()) + 1e-6)
    return gap < allowed


def _arguments(model: PreTrainedModel) -> frozenset[str]:
    return _parameters(type(model).forward)


@cache
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)
