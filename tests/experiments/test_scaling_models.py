"""The kind ``scaling`` on ladders of released models: by size, and asked in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny_models
import torch
from holding_model import Holding
from hypothesis import given
from hypothesis import strategies as st
from study_runs import prediction, results_of, run
from torch import Tensor
from transformers import LlamaConfig

from pytest_mesa.experiments import agreement_words_asking as asking
from pytest_mesa.experiments import agreement_words_probes as probes
from pytest_mesa.experiments import scaling_cells, scaling_models_cells
from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.scaling import STUDY
from pytest_mesa.registry.canonical import spec_sha
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.registry.kinds_scaling import ASKED
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.listed_references import listed
from pytest_mesa.subjects.opening import open_model
from pytest_mesa.subjects.scripted import ScriptedModel
from pytest_mesa.tasks.knapsack import aspects, words
from pytest_mesa.tasks.knapsack.instances import Instances

if TYPE_CHECKING:
    from jaxtyping import Float

FROZEN = Path(__file__).parents[2] / "fixtures"
SPEC = """\
prediction: growth
title: Growth
claim: Measures grow without a jump.
subjects: [{released: true}]
competence: {at_least: 0.01}
experiment: {kind: scaling, measures: [MEASURES]WORDS}
controls:
  must_detect: [{ref: "ladder:planted-step"}]
  must_not_detect: [{ref: "ladder:planted-smooth"}]
verdict:
  estimand: sharpest-window
  predicted: {below: 0.6}
  refuted: {above: 0.8}
"""
SMALL = "items: 2, values: [1, 2], capacity: [1, 3]"
FEW = (
    f", words: {{task: {{kind: knapsack, {SMALL}}}, shots: 0, "
    "templates: [list, prose], keep: 1, choose: 2, competence: 100, budget: 60, written: 0}"
)
TASK = KnapsackTask(kind="knapsack", items=3)
WIDTHS = (4, 8, 12, 18, 28, 40)


def spec(measures: str = "accuracy", words: str = "") -> Prediction:
    return prediction(SPEC.replace("MEASURES", measures).replace("WORDS", words))


def parts(asked: Prediction, refs: Sequence[str]) -> tuple[Cell, ...]:
    """What is gathered of a ladder's models."""
    (gather,) = STUDY.plan(asked, listed(refs)).subjects[0].inputs
    return gather.inputs


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer instances than would tell anything, but the same for all nets."""
    monkeypatch.setattr(scaling_cells, "ANSWERED", 300)
    for name in ("FIT", "CHOOSE", "MEASURE"):
        monkeypatch.setattr(scaling_cells, name, 100)


def frozen(folder: Path) -> list[Path]:
    """Six sizes of three decoders each, as they ship, behind links."""
    folder.mkdir()
    for width in (4, 6, 10, 15, 21, 31):
        for seed in range(3):
            name = f"knapsack-fixed-steps-{width}-seed{seed}"
            (folder / name).symlink_to(FROZEN / name)
    return sorted(folder.iterdir())


@pytest.mark.usefixtures("few")
def test_named_one_by_one_nets_measure_what_their_directory_does(tmp_path: Path) -> None:
    nets = frozen(tmp_path / "nets")
    together, store = spec("accuracy, decodability"), tmp_path / "store"
    directory, _ = run(together, store, f"ladder:{tmp_path / 'nets'}")
    named, verdict = run(together, store, listed(f"knapsack:{net}" for net in reversed(nets)))
    (ours,), (theirs,) = named.subjects, directory.subjects
    for key in ("decades", "measures"):
        assert ours.detail["ladder"][key] == theirs.detail["ladder"][key]
    assert len(ours.detail["ladder"]["measures"]) == 6
    assert ours.strata == theirs.strata and ours.weights_sha == theirs.weights_sha
    assert len(ours.competence) == 3 * 300 and set(ours.competence) == {0.0, 1.0}
    assert [one["name"] for one in ours.detail["ladder"]["models"][2]] == [
        f"knapsack-fixed-steps-10-seed{seed}" for seed in range(3)
    ]
    assert [control.ok for control in verdict.controls] == [True, True]
    # Each net is measured once, however it came to be in a ladder.
    (measured,) = STUDY.plan(together, f"ladder:{tmp_path / 'nets'}").subjects[0].inputs
    assert set(measured.inputs) == set(parts(together, [f"knapsack:{net}" for net in nets]))


def payload(name: str, parameters: int, **more: Any) -> Result:
    told = {"measures": {"accuracy": 0.5}, "right": [1.0, 0.0] * 30, "parameters": parameters}
    return Result(name, told | {"weights_sha": name} | more, Path())


def gathered(results: Sequence[Result], shown: int = 100) -> dict[str, Any]:
    params = {"names": [result.key for result in results], "each": 1, "shown": shown}
    return scaling_models_cells.gather(params, tuple(results), Path())


def models(sizes: Sequence[int], seeds: int = 3) -> list[Result]:
    return [payload(f"m{size}-{seed}", size) for seed in range(seeds) for size in sizes]


SIX = (1000, 2000, 4000, 8000, 16000, 32000)


def test_models_are_ordered_by_what_they_measured() -> None:
    table = gathered(models(SIX[::-1]))["detail"]["ladder"]
    assert table["decades"] == pytest.approx(np.log10(SIX), abs=1e-4)
    assert [rung[0]["parameters"] for rung in table["models"]] == list(SIX)
    near = gathered([payload(f"{size}+{off}", size + off) for size in SIX for off in (0, 9, 19)])
    assert len(near["detail"]["ladder"]["decades"]) == 6


@given(st.lists(st.integers(1, 10**12), min_size=1))
def test_a_size_spans_two_percent_and_no_two_sizes_begin_within_it(counts: list[int]) -> None:
    rungs = scaling_models_cells.by_size([{"parameters": count} for count in counts])
    sizes = [[one["parameters"] for one in rung] for rung in rungs]
    assert sorted(counts) == [size for rung in sizes for size in rung]
    assert all(rung[-1] <= 1.02 * rung[0] for rung in sizes)
    assert all(after[0] > 1.02 * rung[0] for rung, after in pairwise(sizes))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            models(SIX[:3], 6),
            "no ladder: a ladder takes 6 sizes and 3 models .* there are 6 of 1,000",
        ),
        (models((*SIX, 64000), 2), r"there are 2 of 1,000 parameters \(m1000-0, m1000-1\); 2 of"),
        ([*models(SIX), payload("odd", 1030)], r"3 of 1,000 .*; 1 of 1,030 parameters \(odd\); 3"),
        (
            [*models(SIX)[1:], payload("m", 1000, weights_sha="m2000-1")],
            "m2000-1 and m have the same",
        ),
    ],
)
def test_what_shows_only_when_loaded_is_told_in_a_sentence(found: list[Result], said: str) -> None:
    with pytest.raises(SubjectError, match=said):
        gathered(found)


def test_the_largest_models_must_be_able_and_count_alike() -> None:
    able = [1.0] * 60
    sure = [payload(f"m{size}-{seed}", size, right=able) for seed in range(2) for size in SIX]
    last = [payload(f"m{size}-2", size, right=able) for size in SIX[:-1]]
    # One that was clearly unable was asked less; the others must not outvote it.
    unable = payload("unable", SIX[-1], right=[0.0] * 10, unskilled=0.4)
    found = gathered([*sure, *last, unable], shown=3000)
    assert sorted(found["competence"]) == [0.0] * 10 + [1.0] * 20
    assert (found["unskilled"], found["budget"]) == (0.4, 18)
    assert len(gathered([*sure, *last, payload("m", SIX[-1], right=able)])["competence"]) == 99


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Random language models: six sizes of three seeds."""
    root = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_models.CONFIGURATIONS, "sized", sized)
        for width in WIDTHS:
            for seed in range(3):
                tiny_models.save(root / f"w{width}-{seed}", "sized", seed, width=width)
    return [str(path) for path in sorted(root.iterdir())]


def sized(width: int, **more: Any) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        **more,
    )


def test_models_that_read_text_are_followed_in_words(tmp_path: Path, texts: list[str]) -> None:
    asked = spec("log-likelihood", FEW)
    assert [cell.kind for cell in parts(asked, texts)] == ["words-competence", "words-worth"] * 18
    evidence, verdict = run(asked, tmp_path, listed(texts))
    (subject,) = evidence.subjects
    table = subject.detail["ladder"]
    assert set(table["measures"]) == {
        *("log-likelihood", "optimum-probability", "regret-closed", "accuracy", "papers")
    }
    names = [[one["name"] for one in rung] for rung in table["models"]]
    assert names == [[f"w{width}-{seed}" for seed in range(3)] for width in WIDTHS]
    assert all(len(one["wordings"]) == 1 for rung in table["models"] for one in rung)
    assert subject.detail["model"]["device"] == "cpu" and not subject.detail["model"]["remote_code"]
    scores = np.array(table["measures"]["log-likelihood"])
    assert scores.shape == (6, 3) and (scores < 0).all() and len(set(scores.ravel())) == 18
    assert len(subject.strata) == 1 and verdict.controls and all(c.ok for c in verdict.controls)
    one = open_model(texts[0], tmp_path, precision="fast")
    size = sum(weight.numel() for weight in one.model.parameters())
    rung = next(rung for rung in table["models"] if rung[0]["name"] == Path(texts[0]).name)
    assert rung[0]["parameters"] == size == one.provenance.parameters


def test_only_what_is_followed_is_measured(texts: list[str]) -> None:
    kinds = {
        measures: {cell.kind for cell in parts(spec(measures), texts)}
        for measures in ("decodability", "papers", "papers, decodability")
    }
    inside, worth = "words-inside", "words-worth"
    assert kinds["decodability"] == {"words-competence", inside}
    assert kinds["papers"] == {"words-competence", worth}
    assert kinds["papers, decodability"] == {"words-competence", inside, worth}


@pytest.mark.parametrize(
    ("measures", "words", "said"),
    [
        ("papers", ", paper: 61" + FEW, "60 instances make no paper of 61"),
        ("accuracy", ", words: {templates: [rhyme], keep: 1}", "there is no 'rhyme'"),
    ],
)
def test_wrong_words_are_refused_where_models_read_text(
    texts: list[str], measures: str, words: str, said: str
) -> None:
    with pytest.raises(SubjectError, match=said):
        STUDY.plan(spec(measures, words), listed(texts))
    STUDY.plan(spec(measures, words), "ladder:knapsack-fixed-steps")


def test_too_few_models_do_not_suit_and_in_a_spec_they_are_wrong(texts: list[str]) -> None:
    with pytest.raises(UnsuitedError, match=r"there are 3 models .* a ladder takes 6 sizes"):
        STUDY.plan(spec(), listed(texts[:3]))
    text = SPEC.replace("MEASURES", "accuracy").replace("WORDS", "")
    own = text.replace("{released: true}", f'{{ref: "{listed(texts[:3])}"}}')
    with pytest.raises(SubjectError, match="there are 3 models") as error:
        STUDY.plan(prediction(own))
    assert not isinstance(error.value, UnsuitedError) and error.value.at == ("subjects", 0)


def test_words_left_as_they_are_change_no_hash() -> None:
    plain = spec()
    assert "words" not in plain.model_dump(mode="json")["experiment"]
    told = ASKED.model_dump_json().replace('"task":null,', "")
    assert spec_sha(spec(words=f", words: {told}")) == spec_sha(plain)
    assert spec_sha(spec(words=", words: {keep: 3}")) != spec_sha(plain)
    # What a spec changes one of, it takes the others of as they are.
    assert spec(words=", words: {keep: 2}").experiment.words == ASKED


class Sized(ScriptedModel):
    """A script with a net of three numbers."""

    model = torch.nn.Linear(2, 1)


WAYS = [
    {"template": name, "shots": shots, "chat": chat}
    for name in words.TEMPLATES
    for shots in (0, 2)
    for chat in (False, True)
]
ASK = {"subject": {}, "own": 0, "task": TASK.model_dump(), "seed": 0, "count": 60, "paper": 20}
ASK["draw"] = 5


def worth(ways: list[dict[str, Any]]) -> dict[str, float]:
    found = scaling_models_cells.behaviour(ASK, (Result("c", {"kept": ways}, Path()),), Path())
    assert found["parameters"] == 3
    measures: dict[str, float] = found["measures"]
    return measures


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_a_script_scores_as_it_solves_under_every_wording(
    monkeypatch: pytest.MonkeyPatch, way: dict[str, Any]
) -> None:
    monkeypatch.setattr(asking, "load", lambda *_a, **_k: Sized("exact"))
    exact = worth([way])
    assert (exact["accuracy"], exact["regret-closed"], exact["papers"]) == (1.0, 1.0, 1.0)
    assert exact["optimum-probability"] > 0.9 and -0.1 < exact["log-likelihood"] < 0
    monkeypatch.setattr(asking, "load", lambda *_a, **_k: Sized("greedy-ratio"))
    greedy = worth([way])
    assert greedy["regret-closed"] == 0.0
    assert greedy["accuracy"] < 1 and greedy["log-likelihood"] < exact["log-likelihood"]


def test_measures_are_averaged_over_the_wordings_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Half(Sized):
        """Greedy in prose, exact elsewhere."""

        def option_logprobs(self, prompts: Sequence[str], options: Sequence[str]) -> Tensor:
            name = "greedy-ratio" if "bag" in prompts[0] else "exact"
            return ScriptedModel(name).option_logprobs(prompts, options)

    monkeypatch.setattr(asking, "load", lambda *_a, **_k: Half("half"))
    prose, table = ({"template": name, "shots": 0, "chat": False} for name in ("prose", "table"))
    one, other, both = worth([prose]), worth([table]), worth([prose, table])
    assert (one["regret-closed"], other["regret-closed"], both["regret-closed"]) == (0.0, 1.0, 0.5)
    assert both == pytest.approx({name: (one[name] + other[name]) / 2 for name in one})


def holding(*, knows: float = 1.0) -> Holding:
    """Holds two of the quantities that are followed."""

    def held(instance: Instances) -> Float[np.ndarray, " quantity"]:
        return np.concatenate(
            [aspects.ASPECTS[name](instance)[0] for name in ("ratio-order", "best-item")]
        )

    return Holding(held, 40, knows=knows)


def decoded(monkeypatch: pytest.MonkeyPatch, model: Any) -> float:
    monkeypatch.setattr(asking, "load", lambda *_a, **_k: model)
    monkeypatch.setattr(probes, "shuffled", lambda *_a: holding(knows=0))
    params = ASK | {"counts": [400, 100, 200], "precision": "exact"}
    kept = Result("c", {"kept": [{"template": "list", "shots": 0, "chat": False}]}, Path())
    found = scaling_models_cells.inside(params, (kept,), Path())
    assert found["parameters"] == 3
    return float(found["measures"]["decodability"])


def test_what_a_model_holds_where_a_prompt_ends_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two of the four quantities that are followed.
    assert 0.4 < decoded(monkeypatch, holding()) < 0.75
    assert abs(decoded(monkeypatch, holding(knows=0))) < 0.05
    with pytest.raises(SubjectError, match="scripted exact has no inside that could be probed"):
        decoded(monkeypatch, Sized("exact"))


def test_a_random_language_model_holds_nothing_beyond_its_twins(
    tmp_path: Path, texts: list[str]
) -> None:
    asked = FEW.replace(SMALL, "items: 3").replace("budget: 60", "probed: 500")
    cell = next(c for c in parts(spec("decodability", asked), texts) if c.kind == "words-inside")
    found = results_of(Plan((cell,), (), ()), tmp_path)[cell].payload
    assert set(found["measures"]) == {"decodability"}
    assert abs(found["measures"]["decodability"]) < 0.1


def test_states_are_exchanged_in_decoders_and_not_in_models_that_read_text(
    tmp_path: Path, texts: list[str]
) -> None:
    with pytest.raises(UnsuitedError, match="'interchange' is not measured of models that read"):
        parts(spec("interchange"), texts)
    nets = [f"knapsack:{net}" for net in frozen(tmp_path / "nets")]
    taken = parts(spec("interchange"), nets)
    assert [cell.kind for cell in taken] == ["ladder-net", "ladder-state"] * 18
    for one, other in zip(taken[::2], taken[1::2], strict=True):
        assert one.inputs == other.inputs
    measured = [
        part
        for one in models([1000 * 2**rung for rung in range(6)])
        for part in (one, Result("state", {"measures": {"interchange": 0.25}}, Path()))
    ]
    params = {"names": [str(place) for place in range(18)], "each": 2, "shown": 100}
    table = scaling_models_cells.gather(params, tuple(measured), Path())["detail"]["ladder"]
    assert table["measures"] == {"accuracy": [[0.5] * 3] * 6, "interchange": [[0.25] * 3] * 6}
