"""Language models against the naive way: one text at a time, nothing shared or cached."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONFIGURATIONS, model, tokenizer

from pytest_mesa.instruments.stream import find_blocks
from pytest_mesa.subjects import language, scoring
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.language import LanguageModel, Provenance

PROMPTS = (
    "The capital of France is",
    "Two and two make ",
    "12 + 30 =",
    "The dog and the cat are 10 and 12. The dog sat on",
    "The dog and the cat are 10 and 12. The mat is",
)
OPTIONS = (" Paris", " Tokyo, not London", "4", "42", "41", " 137")
PROVENANCE = Provenance("tiny", "", "0" * 64, "cpu", "float32", False, 1)


def wrapped(kind: str = "llama", *, begins: bool = True) -> LanguageModel:
    return LanguageModel("tiny", model(kind), tokenizer(begins=begins), PROVENANCE)


def naive(asked: LanguageModel, prompt: str, options: tuple[str, ...]) -> torch.Tensor:
    """Each whole text on its own, scored from where all of them still agree with the prompt."""
    whole = [asked.tokenizer(prompt + option)["input_ids"] for option in options]
    alone = asked.tokenizer(prompt)["input_ids"]
    start = min(
        next((i for i, (a, b) in enumerate(zip(alone, row, strict=False)) if a != b), len(alone))
        for row in whole
    )
    scores = []
    for row in whole:
        ids = torch.tensor([row])
        logits = asked.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
        ).logits
        chances = logits[0].log_softmax(-1)
        scores.append(sum(chances[i - 1, row[i]] for i in range(start, len(row))))
    return torch.stack(scores)


@pytest.mark.parametrize("kind", CONFIGURATIONS)
@pytest.mark.parametrize("options", [OPTIONS, ("4", ".", ",")], ids=["several", "single"])
def test_shared_prompts_score_as_whole_texts_do(kind: str, options: tuple[str, ...]) -> None:
    asked = wrapped(kind)
    got = asked.option_logprobs(PROMPTS, options)
    want = torch.stack([naive(asked, prompt, options) for prompt in PROMPTS])
    assert got.shape == (len(PROMPTS), len(options))
    assert (got - want).abs().max() < 1e-4
    assert want.std() > 0.1  # or a constant would pass


def test_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = wrapped()
    at_once = asked.option_logprobs(PROMPTS * 3, OPTIONS)
    monkeypatch.setattr(scoring, "POSITIONS", 40)
    assert (asked.option_logprobs(PROMPTS * 3, OPTIONS) - at_once).abs().max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(
    prompts=st.lists(st.text("at 1.Pé", min_size=1, max_size=12), min_size=1, max_size=3),
    options=st.lists(st.text("at 1.Pé", min_size=1, max_size=5), min_size=1, max_size=3),
)
def test_any_boundary_is_scored_as_the_naive_way_does(
    prompts: list[str], options: list[str]
) -> None:
    asked = wrapped()
    got = asked.option_logprobs(prompts, options)
    want = torch.stack([naive(asked, prompt, tuple(options)) for prompt in prompts])
    assert (got - want).abs().max() < 1e-4


def test_a_token_over_the_boundary_is_scored_for_all_options_alike() -> None:
    """'and ' and 'two' meet in the token ' two', so the space counts in every option's score."""
    asked = wrapped()
    parted = asked._question("Two and ", ("two", "the", "4"))
    assert asked.tokenizer.decode(parted.context).endswith("Two and")
    spelt = [asked.tokenizer.decode(option) for option in parted.options]
    assert spelt == [" two", " the", " 4"]
    assert asked._question("Two and", (" two",)).context == parted.context


def test_the_largest_of_the_options_is_the_models_own_choice() -> None:
    """Every single token as an option: their probabilities sum to one."""
    asked = wrapped()
    ids, mask, lengths = asked.encode(["12 + 30 ="])
    logits = asked.net(ids, mask)[0, int(lengths[0]) - 1]
    question = scoring.Question(tuple(ids[0].tolist()), tuple((t,) for t in range(len(logits))))
    scores = scoring.option_scores(asked.model, [question], 1, cached=True)
    assert scores.exp().sum() == pytest.approx(1.0, abs=1e-4)
    assert int(scores.argmax()) == int(logits.argmax())


@pytest.mark.parametrize(
    ("prompt", "option", "message"),
    [("", "x", "leaves no token"), ("a", "", "no token of its own")],
)
def test_what_leaves_nothing_to_score_is_refused(prompt: str, option: str, message: str) -> None:
    with pytest.raises(SubjectError, match=message):
        wrapped(begins=False).option_logprobs([prompt], [option])


def test_no_prompts_give_no_scores() -> None:
    assert wrapped().option_logprobs([], OPTIONS).shape == (0, len(OPTIONS))
    assert wrapped().generate([], 4) == []


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_greedy_texts_are_those_of_one_prompt_at_a_time(kind: str) -> None:
    asked = wrapped(kind)
    ends = asked._ends
    for prompt, text in zip(PROMPTS, asked.generate(PROMPTS, 6), strict=True):
        ids = asked.tokenizer(prompt)["input_ids"]
        start = len(ids)
        for _ in range(6):
            row = torch.tensor([ids])
            out = asked.model(input_ids=row, attention_mask=torch.ones_like(row), use_cache=False)
            token = int(out.logits[0, -1].argmax())
            if token in ends:
                break
            ids = [*ids, token]
        assert text == asked.tokenizer.decode(ids[start:], skip_special_tokens=True)


def test_a_text_stops_at_the_end_token() -> None:
    asked = wrapped()
    asked.model.set_output_embeddings(None)
    asked.model.lm_head = torch.nn.Linear(32, len(asked.tokenizer))
    with torch.no_grad():
        asked.model.lm_head.weight.zero_()
        asked.model.lm_head.bias.zero_()
        asked.model.lm_head.bias[1] = 1.0
    assert asked.generate(["The cat"], 5) == [""]


def test_padding_is_on_the_right_and_changes_nothing() -> None:
    asked = wrapped("opt-from-mask")
    ids, mask, lengths = asked.encode(PROMPTS)
    assert [int(n) for n in lengths] == [len(asked.tokenizer(p)["input_ids"]) for p in PROMPTS]
    assert mask.sum(1).tolist() == lengths.tolist()
    assert bool(mask[:, 0].all())
    together = asked.net(ids, mask)
    for row, prompt in enumerate(PROMPTS):
        alone, _, (length,) = asked.encode([prompt])
        gap = together[row, :length] - asked.net(alone)[0]
        assert gap.abs().max() < 1e-4


def test_an_end_token_that_a_tokenizer_adds_is_left_out() -> None:
    from tokenizers import processors

    asked = wrapped()
    plain = asked.encode(["The cat"])[0]
    asked.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    try:
        fresh = LanguageModel("tiny", asked.model, asked.tokenizer, PROVENANCE)
        assert fresh.tokenizer("The cat")["input_ids"][-1] == 1
        assert fresh.encode(["The cat"])[0].tolist() == plain.tolist()
    finally:
        asked.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )


def test_a_cache_that_starts_anew_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = wrapped()
    ids, _, lengths = asked.encode(language.PROBES)
    rows = ids[:, : int(lengths.min())]
    assert scoring.cache_serves(asked.model, rows)
    forward = type(asked.model).forward

    def forgetful(self: object, *args: object, **given: object) -> object:
        if given.get("past_key_values") is not None:
            given |= {"past_key_values": None}
            given["attention_mask"] = torch.ones_like(given["input_ids"])
        return forward(self, *args, **given)

    monkeypatch.setattr(asked.model, "forward", forgetful.__get__(asked.model))
    assert not scoring.cache_serves(asked.model, rows)
    assert not scoring.cache_serves(wrapped("mamba-no-cache").model, rows)


def test_the_stream_is_found_and_checked() -> None:
    asked = wrapped("gemma3-tied")
    assert asked.stream.layers == len(find_blocks(asked.model)) == 2
    assert asked.weights_sha == PROVENANCE.weights_sha
    assert "ref" not in asked.provenance.to_json()
    assert not any(weight.requires_grad for weight in asked.model.parameters())
