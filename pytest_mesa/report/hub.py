"""Verdicts as evaluation results on a model's card, in the hub's own ``model-index`` form."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from pytest_mesa.ledger.records import Record
from pytest_mesa.ledger.sections import name
from pytest_mesa.registry.errors import printable
from pytest_mesa.report.markup import plain

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

CARD = "README.md"
# By these our results on a card are known again, and replaced by newer ones on the claim.
TASK = "other"
TASK_NAME = "Verdicts of pytest-mesa"
_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "GITHUB_TOKEN")
_HIDDEN = "***"
_SHORTEST_SECRET = 4


class HubError(Exception):
    """The card can't be made or pushed; the message says why and never holds a token."""


def card_text(current: str, model: str, records: Sequence[Record], source: str = "") -> str:
    """A card with these verdicts on it, and with all else that it held.

    Args:
        current: the card as it is; empty where there is none.
        source: the address of the run that measured them, if it has one.

    Raises:
        HubError: the card's metadata can't be read.
    """
    from huggingface_hub import ModelCard

    try:
        card = ModelCard(current or "---\n{}\n---\n")
    except ValueError as error:
        raise HubError(f"the card of {model} can't be read: {_told(error)}") from None
    ours = eval_results(records, source)
    data = cast("ModelCardData", card.data)
    data.model_name = data.model_name or model.rpartition("/")[2]
    data.eval_results = [*_others(data, ours), *ours]
    return str(card)


def eval_results(records: Sequence[Record], source: str = "") -> list[EvalResult]:
    """One result for each verdict with an estimate: the estimand is the metric, the claim what
    it is measured on."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=TASK,
            task_name=TASK_NAME,
            dataset_type=plain(record["prediction"]),
            dataset_name=plain(record["claim"].get("title", record["prediction"])),
            dataset_revision=record["spec_sha"],
            dataset_args={"lineup": plain(record.get("lineup", ""))},
            metric_type=plain(record["claim"].get("estimand", "estimate")),
            metric_name=f"{plain(record['claim'].get('estimand', 'estimate'))}: {_verdict(record)}",
            metric_value=record["estimate"],
            metric_args={
                "verdict": record["verdict"],
                "reason": plain(record["reason"]),
                "bounds": list(record["bounds"]),
                "alpha": record["alpha"],
                "n": record["n"],
                "regions": record["claim"].get("regions", {}),
                "locked": record["locked"],
                "weights_sha": record["model"].get("weights_sha", ""),
                "record": record["sha"],
            },
            source_name="pytest-mesa" if source else None,
            source_url=source or None,
        )
        for record in sorted(records, key=name)
        if "estimate" in record
    ]


def run_address(environ: Mapping[str, str]) -> str:
    """Where the run can be looked up, in a GitHub workflow; empty elsewhere."""
    parts = [environ.get(f"GITHUB_{key}", "") for key in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""


def fetch(model: str) -> str:
    """The model's card as it is on the hub; empty where it has none.

    Raises:
        HubError: no network, no such model, or no access.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

    try:
        with open(hf_hub_download(model, CARD), encoding="utf-8") as file:  # noqa: PTH123
            return file.read()
    except RemoteEntryNotFoundError:
        return ""
    except LocalEntryNotFoundError:
        raise HubError(
            f"the card of {model} can't be fetched: the hub is not reached. --dry-run shows "
            "the results without it"
        ) from None
    except Exception as error:  # the hub's client hands on whatever its transport raises
        raise HubError(f"the card of {model} can't be fetched: {_told(error)}") from None


def push(model: str, card: str, *, create_pr: bool) -> str:
    """Put the card on the hub, with the token that the hub's client finds; returns where it is.

    Raises:
        HubError: no network, no token, or no right to write.
    """
    from huggingface_hub import HfApi

    try:
        commit = HfApi().upload_file(
            path_or_fileobj=card.encode(),
            path_in_repo=CARD,
            repo_id=model,
            commit_message="Add verdicts of pytest-mesa",
            create_pr=create_pr,
        )
    except Exception as error:  # as above
        raise HubError(f"the card of {model} can't be pushed: {_told(error)}") from None
    return str(commit.pr_url or commit.commit_url)


def _others(data: ModelCardData, ours: Sequence[EvalResult]) -> list[EvalResult]:
    """The results on a card that these do not replace."""
    claims = {result.dataset_type for result in ours}
    return [
        result
        for result in data.eval_results or []
        if (result.task_type, result.task_name) != (TASK, TASK_NAME)
        or result.dataset_type not in claims
    ]


def _verdict(record: Record) -> str:
    exploratory = "" if record["locked"] == "locked" else " (exploratory)"
    return str(record["verdict"]) + exploratory


def _told(error: Exception) -> str:
    """An error's first line, without any token that is known here."""
    said = printable(str(error).strip().partition("\n")[0]) or type(error).__name__
    for key in _SECRETS:
        secret = os.environ.get(key, "")
        if len(secret) >= _SHORTEST_SECRET:
            said = said.replace(secret, _HIDDEN)
    return said
