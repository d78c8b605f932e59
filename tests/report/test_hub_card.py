"""Verdicts on a model's card, in the hub's own form, and never a token."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from ledger_bodies import error, verdict

from pytest_mesa.ledger.records import GENESIS, seal
from pytest_mesa.report import hub

CARD = """\
---
license: apache-2.0
model-index:
- name: m
  results:
  - task:
      type: text-generation
    dataset:
      type: other
      name: Others
    metrics:
    - type: accuracy
      value: 0.5
---

# A model

Its text.
"""


def sealed(*bodies: dict[str, Any]) -> list[dict[str, Any]]:
    return [seal(body, GENESIS) for body in bodies]


def results(card: str) -> list[Any]:
    return list(ModelCard(card).data.eval_results)


def test_a_verdict_is_an_evaluation_result_with_its_bounds() -> None:
    (record,) = sealed(verdict("a", lineup="hf:org/m@v1"))
    (result,) = results(hub.card_text("", "org/m", [record], "https://example.org/runs/1"))
    assert (result.metric_type, result.metric_value) == ("interchange-accuracy", 0.06)
    assert result.dataset_type == "a"
    assert result.dataset_revision == record["spec_sha"]
    assert result.metric_args["verdict"] == "pass"
    assert result.metric_args["bounds"] == [0.01, 0.11]
    assert result.metric_args["record"] == record["sha"]
    assert result.source_url == "https://example.org/runs/1"
    assert ModelCard(hub.card_text("", "org/m", [record])).data.model_name == "m"


def test_a_run_that_broke_is_no_result() -> None:
    assert hub.eval_results(sealed(error("a"))) == []


def test_everything_else_on_the_card_stays_and_our_older_results_are_replaced() -> None:
    first = hub.card_text(CARD, "org/m", sealed(verdict("a"), verdict("b")))
    second = hub.card_text(first, "org/m", sealed(verdict("a", estimate=0.1, bounds=[0, 0.2])))
    assert second.endswith("# A model\n\nIts text.\n")
    assert yaml.safe_load(second.split("---")[1])["license"] == "apache-2.0"
    found = {(r.dataset_type, r.metric_value) for r in results(second)}
    assert found == {("other", 0.5), ("b", 0.06), ("a", 0.1)}
    assert hub.card_text(second, "org/m", sealed(verdict("b"))).count("type: b\n") == 1


def test_hostile_text_stays_text_in_the_cards_yaml() -> None:
    claim = verdict()["claim"] | {"title": "---\nlicense: other\n\x00x: &a [*a]", "estimand": "!!x"}
    card = hub.card_text(CARD, "org/m", sealed(verdict("a", claim=claim, reason="---\n")))
    assert ModelCard(card).data.license == "apache-2.0"
    assert {r.dataset_type for r in results(card)} == {"other", "a"}


def test_a_card_that_cannot_be_read_is_told() -> None:
    with pytest.raises(hub.HubError, match="the card of org/m can't be read"):
        hub.card_text("---\n- a list\n---\n", "org/m", sealed(verdict("a")))


def test_the_address_of_a_run_is_known_in_a_workflow_alone() -> None:
    names = {"GITHUB_SERVER_URL": "https://g", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7"}
    assert hub.run_address(names) == "https://g/o/r/actions/runs/7"
    assert hub.run_address({"GITHUB_REPOSITORY": "o/r"}) == ""


def test_an_error_of_the_hub_is_told_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi

    def refuse(self: object, **arguments: Any) -> None:
        raise RuntimeError("403 for https://x?token=hf_secretsecret\nBearer hf_secretsecret")

    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    monkeypatch.setattr(HfApi, "upload_file", refuse)
    with pytest.raises(hub.HubError) as told:
        hub.push("org/m", CARD, create_pr=False)
    assert str(told.value) == ("the card of org/m can't be pushed: 403 for https://x?token=***")
