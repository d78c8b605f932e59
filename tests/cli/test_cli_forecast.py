"""Forecasts from release to release: stated by ``mesa forecast``, judged by a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ledger_bodies import verdict
from mesa_projects import FAKELAB, write_spec

from pytest_mesa.cli import main
from pytest_mesa.ledger.append import append, read
from pytest_mesa.ledger.verify import verify
from pytest_mesa.registry.loader import load
from pytest_mesa.session import Run, Settings, run_prediction

if TYPE_CHECKING:
    from mesa_projects import Project

WATCHER = """\
prediction: no-leap
title: No leap
claim: From release to release the watched share grows without a leap.
subjects: [{released: true}]
competence: {at_least: 0.01}
experiment: {kind: forecast, watch: {share: {low: 0, high: 1}}}
controls:
  must_detect: [{ref: "sequence:planted-jump"}]
  must_not_detect: [{ref: "sequence:planted-smooth"}]
verdict:
  estimand: forecast-distance
  predicted: {below: 1}
  refuted: {above: 1.05}
"""
COURSE = (0.10, 0.13, 0.12, 0.15, 0.17, 0.16)
NEXT = "recipe:next"


@dataclass(frozen=True)
class Releases:
    """A watched claim, the claim that watches it, and the ledger of the releases so far."""

    root: Path
    score: float = 0.16
    count: int = len(COURSE)

    def __post_init__(self) -> None:
        extra = f"score: {self.score}"
        write_spec(self.root / "predictions", "share", extra, subject="released: true")
        (self.root / "predictions" / "no-leap.yaml").write_text(WATCHER, "utf-8")
        for number, estimate in enumerate(COURSE[: self.count]):
            self.record(f"hf:org/m@v{number}", estimate, f"{number}" * 64)

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.jsonl"

    @property
    def sha(self) -> str:
        return load(self.root / "predictions" / "share.yaml").sha

    def record(self, lineup: str, estimate: float, weights: str, **more: Any) -> None:
        bounds = [estimate - 0.05, estimate + 0.05]
        body = {"spec_sha": self.sha, "lineup": lineup, "estimate": estimate, "bounds": bounds}
        made = verdict("share", **(body | more))
        append(self.ledger, made | {"model": made["model"] | {"weights_sha": weights}})

    def judged(self) -> Run:
        settings = Settings(
            self.root, self.root / "cache", workers=0, ledger=self.ledger, fixtures=self.root / "no"
        )
        return run_prediction(load(self.root / "predictions" / "no-leap.yaml"), settings, NEXT)

    def stated(self) -> list[dict[str, Any]]:
        return [record for record in read(self.ledger) if record["kind"] == "forecast"]


def detail(run: Run) -> dict[str, Any]:
    assert run.record is not None, run.message
    found: dict[str, Any] = run.record["subjects"][0]["detail"]["forecast"]["share"]
    return found


def test_a_forecast_is_stated_once_and_before_the_release(
    fake_kind: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    releases = Releases(fake_kind)
    assert main(["results"]) == 0
    assert main(["forecast", "--model", NEXT]) == 0
    assert main(["verify"]) == 0  # RESULTS.md was kept in step
    printed = capsys.readouterr().out
    assert "share (watched by no-leap)\n  next release  0." in printed
    assert "6 releases, the newest hf:org/m@v5 at 0.160" in printed and "recorded now" in printed
    (stated,) = releases.stated()
    assert [name for name, _ in stated["earlier"]] == [f"hf:org/m@v{i}" for i in range(6)]
    low, high = stated["interval"]
    assert low < 0.16 < high < 0.5
    assert main(["forecast"]) == 0
    assert "recorded on line 7" in capsys.readouterr().out
    assert len(releases.stated()) == 1
    assert verify(releases.ledger) == []
    run = releases.judged()
    assert run.record is not None and run.record["verdict"] == "pass"
    assert detail(run)["stated"] == 7 and detail(run)["interval"] == [low, high]
    # A release inside is no surprise, which is no evidence that one would have been noticed.
    assert run.record["e_value"] == 0.0


def test_what_is_stated_after_the_measurement_is_no_forecast(
    fake_kind: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    releases = Releases(fake_kind)
    releases.record(NEXT, 0.16, "9" * 64)
    assert main(["forecast", "--model", NEXT]) == 1
    assert "has a verdict on share already (line 7): a forecast is stated before" in (
        capsys.readouterr().err
    )
    run = releases.judged()
    assert detail(run)["stated"] is None
    assert "(not stated before)" in run.message
    assert len(detail(run)["earlier"]) == len(COURSE)


def test_a_leap_is_an_alarm_that_names_claim_interval_and_distance(project: Project) -> None:
    """As a user sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FAKELAB))
        from pytest_mesa.registry import discovery

        discovery._installed.cache_clear()
        Releases(project.root, score=0.95)
        discovery._installed.cache_clear()
    done = project.pytest("predictions/no-leap.yaml", "--mesa-model", NEXT)
    assert done.ret == 1
    text = " ".join(done.stdout.str().split())
    assert "ALARM: share reads 0.950" in text
    assert "forecast 0." in text and "from 6 releases (not stated before)" in text
    (record,) = [r for r in project.records() if r["prediction"] == "no-leap"]
    assert record["verdict"] == "fail" and record["estimate"] > 1.05
    assert "ALARM" in record["message"]


def test_too_few_releases_are_counted(fake_kind: Path, capsys: pytest.CaptureFixture[str]) -> None:
    releases = Releases(fake_kind, score=0.95, count=3)
    assert main(["forecast"]) == 0
    assert "3 of the 5 releases that a forecast takes; 2 are missing" in capsys.readouterr().out
    run = releases.judged()
    assert run.record is not None
    assert (run.record["verdict"], run.record["reason"]) == ("inconclusive", "too-few-releases")
    assert "3 of the 5 releases" in run.message and "2 are missing" in run.message
    assert releases.stated() == []


def test_releases_that_vary_too_much_uphold_nothing(fake_kind: Path) -> None:
    """Their interval reaches over the whole scale, where any release lies inside."""
    releases = Releases(fake_kind, score=0.95, count=0)
    for number, estimate in enumerate((0.1, 0.9, 0.2, 0.8, 0.1, 0.9)):
        releases.record(f"hf:org/m@v{number}", estimate, f"{number}" * 64)
    run = releases.judged()
    assert run.record is not None
    assert (run.record["verdict"], run.record["reason"]) == ("inconclusive", "forecast-too-wide")
    assert run.record["detection_limit"] > 0.9


def test_what_does_not_count_as_a_release(
    fake_kind: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another spec, a broken control, the same weights under another name, the spec's own nets."""
    releases = Releases(fake_kind)
    releases.record("other-spec", 0.9, "a" * 64, spec_sha="9" * 64)
    releases.record("faulty", 0.9, "b" * 64, verdict="inconclusive", reason="control-missed")
    releases.record("again", 0.9, "3" * 64)
    releases.record("", 0.9, "c" * 64)
    assert main(["forecast", "--json", "--dry-run"]) == 0
    (outlook,) = json.loads(capsys.readouterr().out)
    assert len(outlook["earlier"]) == len(COURSE)
    assert releases.stated() == []


def test_mistakes_are_named(fake_kind: Path, capsys: pytest.CaptureFixture[str]) -> None:
    releases = Releases(fake_kind)
    assert main(["forecast", "--ledger", "none.jsonl"]) == 1
    assert "there is no such ledger" in capsys.readouterr().err
    share = releases.root / "predictions" / "share.yaml"
    share.write_text(share.read_text().replace("released: true", "recipe: net"), "utf-8")
    assert "has no slot for a released model" in releases.judged().message
    share.unlink()
    assert main(["forecast"]) == 1
    assert "there is no share.yaml beside" in capsys.readouterr().err
    (releases.root / "predictions" / "no-leap.yaml").unlink()
    assert main(["forecast"]) == 0
    assert "nothing is watched" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("forecast-distance", "leap", "a forecast measures 'forecast-distance', not 'leap'"),
        ("[{released: true}]", "[{recipe: net}]", "a forecast is of released models"),
        ("sequence:planted-jump", "ladder:planted-step", "is no planted sequence of releases"),
        ("sequence:planted-jump", "sequence:leap", "no sequence of releases is called 'leap'"),
        ("{below: 1}", "{below: 1.02}", "predicts a distance below 1"),
    ],
)
def test_specs_that_cannot_be_run_are_refused(
    fake_kind: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Releases(fake_kind).root / "predictions"
    (folder / "no-leap.yaml").write_text(WATCHER.replace(old, new), "utf-8")
    assert main(["check", str(folder / "no-leap.yaml")]) == 1
    assert said in capsys.readouterr().out
