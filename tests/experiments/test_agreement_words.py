"""The kind ``agreement`` asked in words, on language models whose mind is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from holding_model import Holding
from study_runs import means, prediction, results_of, run
from torch import Tensor

from pytest_mesa.experiments import agreement_words_asking as asking
from pytest_mesa.experiments import agreement_words_cells as cells
from pytest_mesa.experiments import agreement_words_probes as probes
from pytest_mesa.experiments.agreement import STUDY
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.scripted import ScriptedModel
from pytest_mesa.tasks.knapsack import aspects, words, words_prompts
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.verdicts.reasons import Outcome, Reason

SPEC = """\
prediction: planted
title: Planted
claim: Planted.
subjects: [{{ref: "scripted:{subject}"}}]
competence: {{at_least: {able}}}
experiment:
  kind: agreement
  task: {{kind: knapsack}}
  rivals: [greedy-ratio, lp-rounded]
  probes: [{probes}]
  words: {{task: {{kind: knapsack, items: 3}}, competence: 150, choose: 3, budget: 240, written: 4}}
controls:
  must_detect: [{{compiled: prefix-dp}}, {{ref: "scripted:exact"}}]
  must_not_detect: [{{compiled: greedy-ratio}}, {{ref: "scripted:greedy-ratio"}}]
verdict:
  estimand: exact-advantage
  predicted: {{below: 0.2}}
  refuted: {{above: 0.5}}
  budget: 300
"""
TASK = KnapsackTask(kind="knapsack", items=3)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def spec(subject: str, able: float = 0.9, probed: str = "") -> Prediction:
    return prediction(SPEC.format(subject=subject, able=able, probes=probed))


def test_an_exact_model_refutes_a_claim_of_heuristics(cache: Path) -> None:
    evidence, verdict = run(spec("exact"), cache)
    assert (verdict.outcome, len(verdict.controls)) == (Outcome.FAIL, 4)
    (subject,) = evidence.subjects
    assert means(subject) == {"greedy-ratio": 1.0, "lp-rounded": 1.0}
    assert [len(stratum.scores) for stratum in subject.strata] == [120, 120]
    assert subject.competence == (1.0,) * 150
    told = subject.detail["words"]
    assert len(told["wordings"]) == 2
    assert len(told["tried"]) == 20
    assert told["written"] == {"n": 8, "empty": 0, "no_number": 0, "as_scored": 8, "right": 8}
    assert "Right on 1.000 of 150 fresh instances" in evidence.exhibit["text"]


def test_a_greedy_model_upholds_it_where_it_is_able(cache: Path) -> None:
    evidence, verdict = run(spec("greedy-ratio", 0.8), cache)
    assert verdict.outcome is Outcome.PASS
    assert means(evidence.subjects[0])["greedy-ratio"] == -1.0
    assert evidence.subjects[0].detail["answers"]["greedy-ratio"]["errors_explained"] == 1.0


def test_one_that_is_not_able_is_glanced_at_and_not_probed(cache: Path) -> None:
    evidence, verdict = run(spec("lp-rounded", 0.95, "best-item"), cache)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_COMPETENT)
    (subject,) = evidence.subjects
    assert len(subject.competence) == cells.BLOCK
    assert [len(stratum.scores) for stratum in subject.strata] == [25, 25]
    assert subject.detail["aspects_skipped"] == "the subject is not competent"
    assert subject.unskilled == subject.detail["words"]["same_answer"]["accuracy"]
    assert f"always the same answer scores {subject.unskilled:.3f}" in verdict.message
    assert evidence.exhibit["title"].startswith("Smallest instance answered wrongly, ")


def test_without_an_inside_no_aspect_is_seen(cache: Path) -> None:
    evidence, verdict = run(spec("greedy-ratio", 0.8, "best-item"), cache)
    assert evidence.subjects[0].detail["aspects_skipped"] == "the subject has no inside"
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, Reason.ASPECT_UNSEEN)


def broken_template(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of five templates exchanges weights and values."""
    template = words.TEMPLATES["list"]
    exchanged = replace(template, item="- weight {value}, value {weight}")
    monkeypatch.setitem(words.TEMPLATES, "list", exchanged)


def broken_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question is left out behind solved examples."""
    whole = words_prompts.prompts

    def cut(way: Any, instances: Any, examples: Any, chat: Any) -> list[str]:
        posed = whole(way, instances, examples, chat)
        return [posed[0]] * len(posed) if way.shots else posed

    monkeypatch.setattr("pytest_mesa.subjects.asked.prompts", cut)


def broken_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers from 1 on, where 0 is the first."""

    def shifted(task: KnapsackTask, end: str) -> list[str]:
        return words.answer_options(task, end)[1:]

    monkeypatch.setattr("pytest_mesa.subjects.asked.answer_options", shifted)


def broken_average(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimum is taken of other instances."""
    monkeypatch.setitem(cells.SOLVERS, "exact", lambda instances: np.roll(optimum(instances), 1))


@pytest.mark.parametrize(
    "broken", [broken_template, broken_examples, broken_options, broken_average]
)
def test_whatever_breaks_on_the_way_a_control_misses(
    broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = spec("exact")
    plan = STUDY.plan(given)
    broken(monkeypatch)
    (control,) = (cell for cell in plan.must_detect if "scripted" in cell.label)
    (payload,) = (r.payload for r in results_of(replace_cells(control), tmp_path).values())
    assert min(np.mean(stratum["scores"]) for stratum in payload["strata"]) < 0.9


def replace_cells(cell: Any) -> Any:
    from pytest_mesa.experiments.base import Plan

    return Plan((), (cell,), ())


def test_controls_in_words_go_with_subjects_in_words() -> None:
    text = SPEC.format(subject="exact", able=0.9, probes="")
    tokens = prediction(
        text.replace('{ref: "scripted:exact"}]\ncomp', "{compiled: prefix-dp}]\ncomp")
    )
    assert [c.label for c in STUDY.plan(tokens).must_detect] == ["gather · compiled prefix-dp"]
    for role, rest in (
        ("must_detect", '[{compiled: prefix-dp}, {ref: "scripted:exact"}]'),
        ("must_not_detect", '[{compiled: greedy-ratio}, {ref: "scripted:greedy-ratio"}]'),
    ):
        bare = text.replace(f"{role}: {rest}", f"{role}: [{{compiled: greedy-ratio}}]")
        with pytest.raises(SubjectError, match=f"needs a control that is, in controls.{role}") as e:
            STUDY.plan(prediction(bare))
        assert e.value.at == ("controls", role)


def test_unknown_templates_and_kinds_that_do_not_ask_in_words_are_refused() -> None:
    text = SPEC.format(subject="exact", able=0.9, probes="")
    odd = text.replace("choose: 3", "choose: 3, templates: [prose, rhyme], keep: 1")
    with pytest.raises(SubjectError, match="there is no 'rhyme'; there are prose, table") as error:
        STUDY.plan(prediction(odd))
    assert error.value.at == ("experiment", "words", "templates", 1)
    from pytest_mesa.experiments.generalisation import STUDY as GENERALISATION

    start, end = text.index("  rivals"), text.index("controls:")
    other = text[:start] + "  axes: {more: {kind: knapsack, items: 6}}\n" + text[end:]
    other = other.replace("kind: agreement", "kind: generalisation")
    message = "scripted exact reads text, and the experiment 'generalisation' asks in the task's"
    with pytest.raises(SubjectError, match=message):
        GENERALISATION.plan(prediction(other))


class Guessing(ScriptedModel):
    """Right under one template only, and the surer of it the fewer examples it is shown."""

    def option_logprobs(self, prompts: Sequence[str], options: Sequence[str]) -> Tensor:
        scores = super().option_logprobs(prompts, options)
        sure = torch.tensor(
            [prompt.startswith("0/1") / prompt.count("Items:") for prompt in prompts]
            if "0/1" in prompts[0]
            else [0.0] * len(prompts)
        )
        return scores * sure[:, None] + torch.arange(len(options)) * 1e-6


def test_the_wording_is_chosen_in_the_models_favour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "load", lambda *_a, **_k: Guessing("exact"))
    params = {
        "subject": {},
        "task": TASK.model_dump(),
        "seed": 0,
        "templates": list(words.TEMPLATES),
    }
    payload = cells.choose(params | {"keep": 2, "shots": 3, "count": 6}, (), Path())
    first = payload["kept"][0]
    assert (first["template"], first["shots"]) == ("list", 0)
    assert len({way["template"] for way in payload["kept"]}) == 2
    assert payload["garbled"] == []


def test_an_instance_is_scored_by_the_average_over_its_wordings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Half(ScriptedModel):
        """Greedy in prose, exact elsewhere."""

        def option_logprobs(self, prompts: Sequence[str], options: Sequence[str]) -> Tensor:
            name = "greedy-ratio" if "bag" in prompts[0] else "exact"
            return ScriptedModel(name).option_logprobs(prompts, options)

    monkeypatch.setattr(asking, "load", lambda *_a, **_k: Half("half"))
    kept = [{"template": name, "shots": 0, "chat": False} for name in ("prose", "table")]
    chosen = Result("k", {"kept": kept}, Path())
    params = {"subject": {}, "own": 0, "task": TASK.model_dump(), "seed": 0}
    params |= {"algorithm": "exact", "rivals": ["greedy-ratio"], "count": 30, "glance": 5}
    payload = cells.answers(params, (chosen,), Path())
    assert payload["budget"] == 30
    (stratum,) = payload["strata"]
    assert set(stratum["scores"]) == {0.0}
    assert len(stratum["scores"]) == 30


def test_nothing_written_and_no_number_are_counted() -> None:
    class Mute(ScriptedModel):
        def generate(self, prompts: Sequence[str], _max_new_tokens: int) -> list[str]:
            return ["", " none", " 0", " 99"][: len(prompts)]

    instances = cells.draw(TASK, 4, np.random.default_rng(0))
    way = asking.asked_under(
        {"task": TASK.model_dump(), "seed": 0}, Mute("exact"), words_prompts.Phrasing("list", 0)
    )
    scored = np.array([[1, 2, 0, 3]])
    assert cells.written([way], instances, scored) == {
        **{"n": 4, "empty": 1, "no_number": 2, "as_scored": 1},
        "right": int(optimum(instances)[2] == 0),
    }


def inside(*, knows: bool = True) -> Holding:
    """Holds one aspect in one layer, and noise in the other."""
    return Holding(lambda instance: aspects.ratio_order(instance)[0], 400, knows=float(knows))


def test_an_aspect_held_where_the_prompt_ends_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "load", lambda *_a, **_k: inside())
    monkeypatch.setattr(probes, "shuffled", lambda *_a: inside(knows=False))
    kept = [{"template": "list", "shots": 0, "chat": False}]
    able = {"competence": {"metric": "accuracy", "at_least": 0.9, "budget": 200}, "alpha": 0.05}
    params = {"subject": {}, "own": 0, "task": TASK.model_dump(), "seed": 0, "alpha": 0.05}
    params |= {"aspects": ["ratio-order"], "counts": [1000, 200, 300], "able": able}
    results = (
        Result("a", {"kept": kept}, Path()),
        Result("b", {"competence": [1.0] * 200}, Path()),
    )
    row = probes.aspects(params, results, Path())["detail"]["aspects"]["ratio-order"]
    assert (row["layer"], row["decodable"]) == (1, True)
    assert row["partial_r2"] > 0.9


def test_components_are_found_on_fitting_rows_alone() -> None:
    rng = np.random.default_rng(0)
    streams = rng.standard_normal((1, 400, 300))
    whole = probes.compressed(streams, 300)
    streams[:, 300:] *= 5
    assert whole.shape == (1, 400, probes.COMPONENTS)
    assert np.allclose(probes.compressed(streams, 300)[:, :300], whole[:, :300])
    narrow = streams[:, :, :64]
    assert probes.compressed(narrow, 300) is narrow
