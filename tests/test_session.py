"""One prediction's way from spec to record, without pytest around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mesa_projects import write_spec

from pytest_mesa.ledger.records import seal
from pytest_mesa.registry.loader import load
from pytest_mesa.registry.lock import read_lock, write_lock
from pytest_mesa.runs.store import Store
from pytest_mesa.session import Counts, Settings, run_prediction, run_record


def settings(root: Path, **more: object) -> Settings:
    return Settings(
        root=root, cache_dir=root / "cache", fixtures=root / "fixtures", workers=0, **more
    )


@pytest.mark.parametrize(
    ("extra", "verdict", "reason"),
    [
        ("", "pass", ""),
        ("score: 1.0", "fail", ""),
        ("score: 0.4", "inconclusive", "indifference-zone"),
        ("control_score: 0.0", "inconclusive", "control-missed"),
        ("fault: raise", "error", "cell-failed"),
        ("fault: nan", "error", "cell-failed"),
        ("fault: plan", "error", "plan-failed"),
        ("fault: no-subject", "error", "plan-failed"),
        ("fault: read", "error", "bad-evidence"),
        ("fault: empty", "error", "no-cells"),
    ],
)
def test_every_way_ends_in_a_record_that_the_ledger_takes(
    fake_kind: Path, extra: str, verdict: str, reason: str
) -> None:
    loaded = load(write_spec(fake_kind / "predictions", "claim", extra))
    run = run_prediction(loaded, settings(fake_kind))
    assert run.record is not None
    assert (run.record["verdict"], run.record["reason"]) == (verdict, reason)
    assert ("estimate" in run.record) == (verdict != "error")
    assert run.message
    sealed = seal({"time": "2026-01-01T00:00:00Z"} | run.record, "0" * 64)
    assert json.loads(json.dumps(sealed, allow_nan=False)) == sealed


def test_a_record_says_what_a_sceptic_asks(fake_kind: Path) -> None:
    spec = write_spec(fake_kind / "predictions", "claim", subject="{recipe: net, seeds: 3}")
    loaded = load(spec, "predictions/claim.yaml")
    run = run_prediction(loaded, settings(fake_kind))
    record = run.record
    assert record is not None
    assert record["src"] == {"file": "predictions/claim.yaml", "line": 1}
    assert record["spec_sha"] == loaded.sha
    assert record["locked"] == "unlocked"
    assert record["model"]["ref"] == "recipe:net (3 seeds)"
    assert len(record["model"]["weights_sha"]) == 64
    assert [len(s["weights_sha"]) for s in record["subjects"]] == [64] * 3
    assert record["claim"]["regions"] == {"predicted": {"below": 0.25}, "refuted": {"above": 0.5}}
    assert record["exhibit"] == {"smallest": [1, 2]}
    assert {"python", "torch", "transformers", "numpy", "platform", "cpu"} <= set(record["env"])
    assert run.counts == Counts(computed=5)


def test_a_lock_is_read_into_the_record(fake_kind: Path) -> None:
    path = write_spec(fake_kind / "predictions", "claim")
    write_lock(fake_kind / "mesa.lock", [load(path)])
    lock = read_lock(fake_kind / "mesa.lock")
    assert run_of(path, settings(fake_kind, lock=lock))["locked"] == "locked"
    write_spec(fake_kind / "predictions", "claim", "score: 0.1")
    assert run_of(path, settings(fake_kind, lock=lock))["locked"] == "differs"


def run_of(path: Path, given: Settings) -> dict[str, object]:
    record = run_prediction(load(path), given).record
    assert record is not None
    return record


def test_retraining_leaves_frozen_results_aside(fake_kind: Path) -> None:
    from pytest_mesa.session import find_study

    loaded = load(write_spec(fake_kind / "predictions", "claim"))
    plan = find_study("fake").plan(loaded.prediction)
    with_net = settings(fake_kind)
    run_prediction(loaded, with_net)
    store = Store(with_net.cache_dir)
    store.freeze(plan.subjects[0], with_net.fixtures / "net", {"recipe": "net"})
    fresh = Settings(
        root=fake_kind, cache_dir=fake_kind / "new", fixtures=with_net.fixtures, workers=0
    )
    assert run_prediction(loaded, fresh).counts == Counts(computed=2, frozen=1)
    retrained = settings(fake_kind, retrain=True)
    assert run_prediction(loaded, retrained).counts == Counts(stored=3)


def test_a_slot_without_a_model_leaves_nothing_to_record(fake_kind: Path) -> None:
    loaded = load(write_spec(fake_kind / "predictions", "claim", subject="released: true"))
    run = run_prediction(loaded, settings(fake_kind))
    assert run.record is None
    assert run.message.startswith("no-subject: ")
    filled = run_prediction(loaded, settings(fake_kind), "bundled:tiny")
    assert filled.record is not None
    assert (filled.record["lineup"], filled.record["model"]["ref"]) == ("bundled:tiny",) * 2


def test_a_broken_cell_brings_its_traceback_and_names_itself(fake_kind: Path) -> None:
    loaded = load(write_spec(fake_kind / "predictions", "claim", "fault: raise"))
    run = run_prediction(loaded, settings(fake_kind))
    assert run.message == "net: RuntimeError: the cell is bad"
    assert "Traceback" in run.trace
    assert run.counts == Counts(computed=2)
    assert run.record is not None
    assert "Traceback" not in json.dumps(run.record)


def test_the_session_record_counts(fake_kind: Path) -> None:
    body = run_record(fake_kind, [{"verdict": "pass"}, {"verdict": "pass"}], Counts(1, 2, 3))
    assert body["counts"] == {"pass": 2, "cells": {"computed": 1, "stored": 2, "frozen": 3}}
    seal({"time": "2026-01-01T00:00:00Z"} | body, "0" * 64)
