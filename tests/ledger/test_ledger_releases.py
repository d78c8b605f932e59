"""The releases of a ledger in their order, and the forecasts stated about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ledger_bodies import verdict

from pytest_mesa.ledger.append import append
from pytest_mesa.ledger.errors import RecordError
from pytest_mesa.ledger.index import scan
from pytest_mesa.ledger.releases import before, releases, stated, statement
from pytest_mesa.ledger.verify import verify

SHA = "5" * 64
NUMBERS = {"interval": [0.1, 0.2], "centre": 0.15, "level": 0.03, "scale": [0.0, 1.0]}


def record(path: Path, lineup: str, estimate: float, weights: str = "", **more: Any) -> None:
    body = verdict("share", lineup=lineup, spec_sha=SHA, estimate=estimate, **more)
    append(path, body | {"model": body["model"] | {"weights_sha": weights}})


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    for lineup, estimate, weights in (
        *(("", 0.9, "0"), ("b", 0.1, "1"), ("a", 0.2, "2")),
        *(("b", 0.3, "1"), ("c", 0.4, "2"), ("d", 0.5, "")),
    ):
        record(path, lineup, estimate, weights)
    return path


def test_releases_stand_in_the_order_of_their_first_verdict_with_their_newest_estimate(
    ledger: Path,
) -> None:
    """``c`` has the weights of ``a``, so it is no release of its own."""
    found = releases(scan(ledger), "share", SHA)
    assert [(r.name, r.estimate, r.line) for r in found] == [
        ("b", 0.3, 2),
        ("a", 0.2, 3),
        ("d", 0.5, 6),
    ]
    assert [r.name for r in before(found, "d")] == ["b", "a"]
    assert [r.name for r in before(found, "next")] == ["b", "a", "d"]
    assert releases(scan(ledger), "share", "9" * 64) == ()
    assert releases(scan(ledger), "another", SHA) == ()


def test_a_statement_is_found_by_what_it_rests_on(ledger: Path) -> None:
    by = {"prediction": "watcher", "spec_sha": "6" * 64}
    body = statement("share", SHA, by, releases(scan(ledger), "share", SHA))
    assert stated(scan(ledger), body) is None
    append(ledger, body | NUMBERS)
    assert stated(scan(ledger), body) == 7
    record(ledger, "e", 0.6)
    later = statement("share", SHA, by, releases(scan(ledger), "share", SHA))
    assert stated(scan(ledger), later) is None
    assert stated(scan(ledger), body | {"by": {**by, "spec_sha": "7" * 64}}) is None


def test_a_forecast_is_a_sound_record(ledger: Path) -> None:
    body = statement("share", SHA, {"prediction": "watcher", "spec_sha": "6" * 64}, ())
    append(ledger, body | NUMBERS)
    assert verify(ledger) == []
    with pytest.raises(RecordError, match="a forecast record needs level"):
        append(ledger, body | {name: v for name, v in NUMBERS.items() if name != "level"})
